//! Descriptors of all sorts, as the host reads them.

use std::mem::offset_of;
use std::ptr::{from_ref, null, without_provenance_mut};

use plugin_api::abi::import::{
    ComponentKind, DescribeError, DescriptorError, InitError, PluginDescriptor, read_descriptor,
};
use plugin_api::abi::types::*;

use crate::foreign_plugin::init;
use crate::host::TestHost;

pub(crate) const EMPTY: RhStr = RhStr {
    ptr: null(),
    len: 0,
};

pub(crate) const fn lend(text: &str) -> RhStr {
    RhStr {
        ptr: text.as_ptr(),
        len: text.len(),
    }
}

unsafe extern "C" fn refuse(_: *const RhHost) -> i32 {
    -9
}

unsafe extern "C" fn describe(out: RhWriter) -> i32 {
    // SAFETY: the writer of this call.
    unsafe { (out.write)(out.ctx, lend("{\"summary\":")) };
    // SAFETY: as above.
    unsafe { (out.write)(out.ctx, EMPTY) };
    // SAFETY: as above.
    unsafe { (out.write)(out.ctx, lend("\"in pieces\",\"news\":1}")) }
}

unsafe extern "C" fn describe_nothing(_: RhWriter) -> i32 {
    OK
}

unsafe extern "C" fn describe_badly(out: RhWriter) -> i32 {
    assert_eq!(
        // SAFETY: null is what the host must refuse.
        unsafe {
            (out.write)(
                out.ctx,
                RhStr {
                    ptr: null(),
                    len: 1,
                },
            )
        },
        ERR_INVALID
    );
    assert_eq!(
        // SAFETY: a length that the host must refuse before it reads.
        unsafe {
            (out.write)(
                out.ctx,
                RhStr {
                    ptr: b"x".as_ptr(),
                    len: usize::MAX,
                },
            )
        },
        ERR_TOO_LARGE
    );
    // SAFETY: bytes of this program.
    unsafe {
        (out.write)(
            out.ctx,
            RhStr {
                ptr: b"\xff".as_ptr(),
                len: 1,
            },
        )
    }
}

pub(crate) const PLUGIN: RhPlugin = RhPlugin {
    size: size_of::<RhPlugin>(),
    abi_minor: 0,
    min_host_minor: 0,
    flags: PLUGIN_PANIC_ABORT | 0xff00,
    component_count: 0,
    components: null(),
    name: lend("foreign"),
    version: lend("2"),
    built_with: EMPTY,
    init: Some(init),
    set_log_level: None,
};

pub(crate) const COMPONENT: RhComponent = RhComponent {
    size: size_of::<RhComponent>(),
    kind: 77,
    reserved: 0,
    name: lend("thing"),
    describe: Some(describe),
    vtable: null(),
};

pub(crate) fn read(plugin: &RhPlugin) -> Result<PluginDescriptor, DescriptorError> {
    // SAFETY: what it points to is static, or wrong in a way that the reader must find.
    unsafe { read_descriptor(from_ref(plugin)) }
}

pub(crate) fn read_with(
    components: &[*const RhComponent],
) -> Result<PluginDescriptor, DescriptorError> {
    let component_count = u32::try_from(components.len()).unwrap();
    read(&RhPlugin {
        component_count,
        components: components.as_ptr(),
        ..PLUGIN
    })
}

fn problem(result: Result<PluginDescriptor, DescriptorError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_descriptor_is_read_as_far_as_it_goes() {
    // SAFETY: null is what it must refuse.
    assert!(problem(unsafe { read_descriptor(null()) }).ends_with("it: null pointer"));
    assert!(
        // SAFETY: misaligned, which it must refuse before it reads.
        problem(unsafe { read_descriptor(without_provenance_mut(12_345)) })
            .ends_with("misaligned pointer")
    );
    for size in [0, 7, usize::MAX] {
        let result = read(&RhPlugin { size, ..PLUGIN });
        assert!(result.is_ok() == (size == usize::MAX), "{size}: {result:?}");
    }
    let short = RhPlugin {
        size: offset_of!(RhPlugin, init),
        ..PLUGIN
    };
    assert!(problem(read(&short)).ends_with("it has no `init`"));
    let without_level = RhPlugin {
        size: offset_of!(RhPlugin, set_log_level),
        ..PLUGIN
    };
    let plugin = read(&without_level).unwrap();
    assert!(plugin.panic_abort);
    assert_eq!(
        (
            plugin.name.as_str(),
            plugin.version.as_str(),
            plugin.components.len()
        ),
        ("foreign", "2", 0)
    );
}

#[test]
fn a_plugin_for_a_newer_host_is_refused_with_both_versions() {
    let newer = RhPlugin {
        abi_minor: 7,
        min_host_minor: 5,
        built_with: lend("sdk 9"),
        ..PLUGIN
    };
    assert_eq!(
        problem(read(&newer)),
        "the library (foreign 2, built with sdk 9) has plugin interface 1.7 and needs a host with 1.5 or later; \
         this host has 1.1"
    );
    // One that merely knows more is welcome.
    assert!(
        read(&RhPlugin {
            abi_minor: 7,
            ..PLUGIN
        })
        .is_ok()
    );
}

#[test]
fn a_descriptor_of_garbage_is_refused() {
    let bad = RhStr {
        ptr: b"\xff".as_ptr(),
        len: 1,
    };
    assert!(
        problem(read(&RhPlugin {
            name: bad,
            ..PLUGIN
        }))
        .ends_with("its name: a string is not UTF-8")
    );
    let endless = RhStr {
        ptr: b"x".as_ptr(),
        len: usize::MAX,
    };
    assert!(
        problem(read(&RhPlugin {
            version: endless,
            ..PLUGIN
        }))
        .ends_with("its version: impossible size")
    );
    assert!(
        problem(read(&RhPlugin {
            component_count: 1,
            ..PLUGIN
        }))
        .ends_with("its components: null pointer")
    );
    assert!(
        problem(read(&RhPlugin {
            component_count: 1025,
            ..PLUGIN
        }))
        .contains("1025 components")
    );
    assert!(problem(read_with(&[null()])).ends_with("component 0: null pointer"));
    for name in ["", "Thing", "a b", "a/b", "ä"] {
        let component = RhComponent {
            name: lend(name),
            ..COMPONENT
        };
        assert!(
            problem(read_with(&[from_ref(&component)])).contains("a name is made of"),
            "{name}"
        );
    }
    let twice = [from_ref(&COMPONENT), from_ref(&COMPONENT)];
    assert!(
        problem(read_with(&twice)).contains("two unsupported (kind 77) components called `thing`")
    );
    for kind in [COMPONENT_AGENT, COMPONENT_TOOLSET, COMPONENT_MAPPER] {
        let without = RhComponent { kind, ..COMPONENT };
        assert!(
            problem(read_with(&[from_ref(&without)]))
                .ends_with("the functions of component `thing`: null pointer")
        );
        // No function of it is covered.
        let size = size_of::<usize>();
        let table = RhComponent {
            kind,
            vtable: from_ref(&size).cast(),
            ..COMPONENT
        };
        assert!(problem(read_with(&[from_ref(&table)])).contains("`thing` lacks a function"));
    }
}

#[test]
fn a_component_of_an_unknown_kind_is_listed_and_the_rest_loads() {
    let again = RhComponent {
        kind: 78,
        ..COMPONENT
    };
    let plugin = read_with(&[from_ref(&COMPONENT), from_ref(&again)]).unwrap();
    assert!(matches!(
        plugin.components[0].kind,
        ComponentKind::Unsupported(77)
    ));
    assert_eq!(
        plugin.components[0].describe().unwrap().summary,
        "in pieces"
    );
}

#[test]
fn a_description_of_garbage_is_refused() {
    let describe = |describe| {
        let component = RhComponent {
            describe,
            ..COMPONENT
        };
        read_with(&[from_ref(&component)]).unwrap().components[0].describe()
    };
    assert!(matches!(
        describe(None),
        Err(DescribeError::Refused(ERR_UNSUPPORTED))
    ));
    assert!(matches!(
        describe(Some(describe_nothing)),
        Err(DescribeError::Malformed(_))
    ));
    assert!(matches!(
        describe(Some(describe_badly)),
        Err(DescribeError::Malformed(_))
    ));
}

#[test]
fn a_plugin_may_refuse_to_work() {
    let plugin = read(&RhPlugin {
        init: Some(refuse),
        ..PLUGIN
    })
    .unwrap();
    assert!(matches!(
        plugin.init(TestHost::new()),
        Err(InitError::Refused(-9))
    ));
}
