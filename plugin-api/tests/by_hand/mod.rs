//! An agent, and a host whose table is written by hand.
//!
//! Each host is a test program of its own, as a copy of a library has one host.

use std::ffi::c_void;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{LazyLock, Mutex, mpsc};
use std::time::Duration;

use plugin_api::abi::types::*;
use plugin_api::serde_json::{Value, from_str, json};
use plugin_api::{
    AgentBackend, ChildError, CreateError, Event, Health, Image, InstanceContext, NoConfig,
    Outcome, RunContext, RunError, RunRequest, async_trait, tracing,
};

struct Asks;

#[async_trait]
impl AgentBackend for Asks {
    type Config = NoConfig;

    async fn create(_: NoConfig, ctx: InstanceContext) -> Result<Self, CreateError> {
        // Nobody hears this either.
        ctx.set_health(Health::degraded("alone"));
        match ctx.child("true").spawn() {
            Err(ChildError::NoGuard) => Ok(Self),
            other => Err(CreateError::failed(format!("{other:?}"))),
        }
    }

    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
        tracing::error!("nobody hears this");
        ctx.emit(Event::stream_delta("x")).await?;
        let answer = ctx
            .call_tool("t", json!({}))
            .await
            .map(|output| output.text)
            .map_err(|error| error.code);
        let image = request.images.first().map(Image::bytes);
        Ok(Outcome::finished(format!("{answer:?} {image:?}")))
    }
}

struct Ended {
    status: u32,
    value: usize,
    json: String,
}

type Channel = (Mutex<mpsc::Sender<Ended>>, Mutex<mpsc::Receiver<Ended>>);

static ENDED: LazyLock<Channel> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel();
    (Mutex::new(sender), Mutex::new(receiver))
});

fn ended() -> Ended {
    ENDED
        .1
        .lock()
        .unwrap()
        .recv_timeout(Duration::from_secs(20))
        .unwrap()
}

unsafe extern "C" fn emit(_: *mut c_void, _: u64, _: *const RhEvent) -> i32 {
    // An answer of a later release: accepted.
    33
}

unsafe extern "C" fn complete(_: *mut c_void, _: u64, completion: *const RhCompletion) -> i32 {
    // SAFETY: the plugin lends a completion.
    let completion = unsafe { *completion };
    let json = match completion.json.len {
        0 => String::new(),
        len => {
            // SAFETY: as above, with its strings.
            let json = unsafe { std::slice::from_raw_parts(completion.json.ptr, len) };
            String::from_utf8(json.to_vec()).unwrap()
        }
    };
    let ended = Ended {
        status: completion.status,
        value: completion.value.addr(),
        json,
    };
    ENDED.0.lock().unwrap().send(ended).unwrap();
    OK
}

/// A host that offers nothing that it could leave out.
pub(crate) const LEAST: RhHost = RhHost {
    size: size_of::<RhHost>(),
    abi_minor: 0,
    reserved: 0,
    ctx: null_mut(),
    emit: Some(emit),
    complete: Some(complete),
    request: None,
    cancel: None,
    image: None,
    log: None,
    child_guard: RhStr {
        ptr: std::ptr::null(),
        len: 0,
    },
    set_health: None,
};

pub(crate) fn lend(text: &'static str) -> RhStr {
    RhStr {
        ptr: text.as_ptr(),
        len: text.len(),
    }
}

/// Where the table stays, for ever and in the sight of leak checkers.
static TABLE: AtomicPtr<RhHost> = AtomicPtr::new(null_mut());

/// Connects the plugin to a host, makes an agent, runs it, and returns the final text.
pub(crate) fn run(host: RhHost) -> String {
    let plugin = plugin_api::__descriptor! { agents: { "asks" => Asks } };
    // SAFETY: the static descriptor of this program.
    let plugin = unsafe { &*plugin };
    let table = Box::into_raw(Box::new(host));
    TABLE.store(table, Ordering::Release);
    // SAFETY: a table that lives for ever.
    assert_eq!(unsafe { plugin.init.unwrap()(table) }, OK);
    // SAFETY: after `init`.
    unsafe { plugin.set_log_level.unwrap()(LOG_TRACE) };
    // SAFETY: the descriptor has one component.
    let component = unsafe { *plugin.components };
    // SAFETY: a static of this program.
    let component = unsafe { &*component };
    // SAFETY: which is an agent.
    let agent = unsafe { &*component.vtable.cast::<RhAgent>() };
    // SAFETY: strings of this program.
    unsafe { agent.create.unwrap()(1, lend(""), lend("")) };
    let created = ended();
    assert_eq!(created.status, STATUS_FINISHED);
    let instance = without_provenance_mut(created.value);
    // SAFETY: the instance that was made; a string of this program.
    unsafe { agent.run.unwrap()(instance, 2, lend("{\"images\":[{\"handle\":1}]}")) };
    let finished = ended();
    assert_eq!(finished.status, STATUS_FINISHED);
    let outcome: Value = from_str(&finished.json).unwrap();
    outcome["content"].as_str().unwrap().to_owned()
}
