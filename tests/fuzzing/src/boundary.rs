//! What a hostile library hands to the host.
#![expect(
    unsafe_code,
    reason = "a descriptor and an instance are what a library says they are"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use plugin_api::abi::import::{
    Answer, Completion, ComponentKind, EventRef, FailureKind, HostLibrary, InstancePtr, LogLine,
    MapperInstance, Sink, Verdict, read_descriptor,
};
use plugin_api::abi::types::{ERR_INVALID, OK, RhPlugin, STOP};
use plugin_api::serde_json::{Value, json};
use roundhouse_host::plugin::fuzzing as plugin;
use roundhouse_host::run::fuzzing as run;

use crate::input::Input;
use crate::library;

/// Levels of JSON that the host takes.
const DEPTH: usize = 64;

/// Takes what a library emits, answers, asks for, logs, describes and maps, one thing after the other.
///
/// # Panics
///
/// When what comes of it is not what it must be.
pub fn boundary(data: &[u8]) {
    LazyLock::force(&MAPPER);
    let mut input = Input::new(data);
    while !input.is_empty() {
        let scope = u64::from(input.byte() & 3);
        match input.byte() % 7 {
            0 => {
                let answer = library::emit(scope, &mut input);
                assert!([OK, STOP, ERR_INVALID].contains(&answer), "{answer}");
            }
            1 => {
                // Whatever is in it, whoever waits for it is told.
                let before = COMPLETED.load(Ordering::Relaxed);
                assert_eq!(library::complete(scope, &mut input), OK);
                assert!(COMPLETED.load(Ordering::Relaxed) > before);
            }
            2 => {
                // Taken and answered once, or refused and never answered.
                let (answer, answers) = library::request(scope, &mut input);
                assert_eq!(answers, u32::from(answer == OK), "{answer}");
            }
            3 => library::log(scope, &mut input),
            4 => library::descriptor(&mut input, look),
            5 => describe(&mut input),
            _ => map(&mut input),
        }
    }
}

/// The host's end, which takes everything that far.
struct Host;

static COMPLETED: AtomicU64 = AtomicU64::new(0);

/// The scope in which the mapper is made, which no input names.
const CREATED: u64 = 9;

/// What that was completed with.
static INSTANCE: Mutex<Option<InstancePtr>> = Mutex::new(None);

impl HostLibrary for Host {
    fn emit(&self, scope: u64, event: EventRef<'_>) -> Answer {
        assert!(!event.name.is_empty());
        match scope {
            0 => Answer::Stop,
            1 => run::event(event, None, DEPTH),
            _ => run::event(event, Some("helper"), DEPTH),
        }
    }

    fn complete(&self, scope: u64, completion: Completion) -> Answer {
        COMPLETED.fetch_add(1, Ordering::Relaxed);
        match (scope, completion) {
            (CREATED, Completion::Finished { value, .. }) => {
                *INSTANCE.lock().unwrap_or_else(PoisonError::into_inner) = value;
            }
            (0, completion) => drop(plugin::run_end(completion)),
            (1, completion) => drop(plugin::call_end(completion)),
            (_, Completion::Finished { json, .. } | Completion::Stopped { json }) => {
                let _ = plugin::list_end(&json, &json!({"a": [1, "b", null]}));
            }
            (_, Completion::Failed { kind, text }) => {
                let known = [
                    FailureKind::Agent,
                    FailureKind::SessionNotFound,
                    FailureKind::MaxIterations,
                    FailureKind::Internal,
                    FailureKind::Config,
                ];
                assert!(known.contains(&kind), "{text}");
            }
        }
        Answer::Ok
    }

    fn request(&self, _: u64, _: u64, method: &str, params: &str, sink: Sink) {
        sink.item(params);
        if method.len() & 1 == 0 {
            sink.done(Ok(method));
        }
    }

    fn cancel(&self, _: u64, _: u64) -> Answer {
        Answer::Ok
    }

    fn image(&self, _: u64, _: u64) -> Option<Arc<[u8]>> {
        None
    }

    fn log(&self, _: LogLine<'_>) {}
}

/// The library's mapper, which maps as its script says. Made once, for a library is connected once.
static MAPPER: LazyLock<Mutex<Option<MapperInstance>>> = LazyLock::new(|| {
    let mut made = None;
    library::good(|descriptor| made = connect(descriptor));
    Mutex::new(made)
});

fn connect(descriptor: *const RhPlugin) -> Option<MapperInstance> {
    // SAFETY: It is what its type says as long as this looks, and its functions are this program's own.
    let descriptor = unsafe { read_descriptor(descriptor) }.ok()?;
    descriptor.init(Arc::new(Host)).ok()?;
    let ComponentKind::Mapper(functions) = descriptor.components.first()?.kind else {
        return None;
    };
    library::complete_create(CREATED);
    let pointer = INSTANCE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()?;
    // SAFETY: It is what the library completed with, once; and its functions look at no instance.
    Some(unsafe { functions.instance(pointer) })
}

fn look(descriptor: *const RhPlugin) {
    // SAFETY: It is what its type says as long as this looks, and its functions are this program's own. Of the
    // result nothing is called but `describe`.
    match unsafe { read_descriptor(descriptor) } {
        Ok(descriptor) => {
            assert_eq!(descriptor.min_host_minor, 0);
            for component in &descriptor.components {
                assert!(!component.name.is_empty());
                let _ = component.describe();
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A component that describes itself, and a configuration for it.
fn describe(input: &mut Input<'_>) {
    library::set_script(input.bytes());
    let config: Value = serde_json::from_slice(input.bytes()).unwrap_or(json!({"a": 1}));
    library::good(|descriptor| {
        // SAFETY: As in `look`.
        let descriptor = unsafe { read_descriptor(descriptor) };
        let described = descriptor.map(|descriptor| descriptor.components[0].describe());
        if let Ok(Ok(description)) = described {
            let _ = plugin::described(&description, &config);
        }
    });
}

/// An event that is mapped.
fn map(input: &mut Input<'_>) {
    let mapper = MAPPER.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(mut state) = mapper.as_ref().and_then(|mapper| mapper.open("{}")) else {
        return;
    };
    drop(mapper);
    library::set_script(input.bytes());
    let event = EventRef {
        kind: 1,
        name: "stream_delta",
        text: "text",
        ..EventRef::default()
    };
    let mut pushed = 0;
    let verdict = state.map(event, &mut |event| {
        pushed += 1;
        let _ = run::event(event, None, DEPTH);
    });
    match verdict {
        Ok(Verdict::Pass | Verdict::Drop) => assert_eq!(pushed, 0),
        Ok(Verdict::Replace) => {}
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}
