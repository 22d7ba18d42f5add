//! Values that have no business where they are, and values that nobody may see.

use proptest::prelude::*;

use super::*;

/// A text that must not be seen, put in the place of every value of a configuration.
#[test]
fn no_fault_shows_a_value() {
    const HIDDEN: &str = "hush-8c1d";
    let keys = [
        "server.listen",
        "server.origins",
        "server.max_connections",
        "limits.images",
        "limits.event_bytes",
        "limits.run_seconds",
        "heartbeat.interval",
        "heartbeat",
        "auth",
        "auth.mode",
        "auth.tokens",
        "log.format",
        "plugins.search_paths",
        "plugins.libraries",
        "plugins.libraries.echo",
        "plugins.libraries.echo.sha256",
        "plugins.libraries.echo.required",
        "agents",
        "agents.echo",
        "agents.echo.config",
        "agents.echo.tools",
        "agents.echo.mappers",
        "tools",
        "mappers",
        "unknown",
        "agents.echo.unknown",
    ];
    for key in keys {
        for value in [
            json!(HIDDEN),
            json!([HIDDEN]),
            json!([[HIDDEN]]),
            json!({"owner": HIDDEN, "sha256": HIDDEN}),
            json!([{"owner": HIDDEN, "sha256": HIDDEN, "mode": [HIDDEN]}]),
        ] {
            if let Err(faults) = Loader::empty().flag("--flag", key, value.clone()).load() {
                let shown = format!("{faults} {faults:?}");
                assert!(!shown.contains(HIDDEN), "{key} = {value}: {shown}");
            }
        }
    }
    // What a broken file holds is not quoted either.
    for text in [
        "a = \"hush-8c1d",
        "hush = = 'hush-8c1d'",
        "[a]\nb = hush-8c1d",
    ] {
        let shown = faults(text);
        assert!(!shown.contains("hush-8c1d"), "{shown}");
    }
    let config = load(&format!(
        "{PLUGIN}[agents.a]\ncomponent = \"echo/echo\"\nconfig.key = \"{HIDDEN}\"\n\
         [[auth.tokens]]\nowner = \"o\"\nsha256 = \"{:064}\"",
        1
    ));
    assert!(!format!("{config:?}").contains(HIDDEN));
    assert!(!format!("{config:?}").contains("sha256: [0"));
}

proptest! {
    /// A value of any kind in any place either works or is a fault that names the place;
    /// nothing gets past the schema that the types then refuse.
    #[test]
    fn any_value_anywhere_is_judged(
        key in prop::sample::select(vec![
            "server", "server.listen", "server.origins", "server.max_connections", "limits",
            "limits.replay_records", "limits.file_bytes", "limits.run_seconds",
            "limits.json_depth", "heartbeat.interval", "stop.grace", "storage.path",
            "auth.mode", "auth.tokens", "log.filter", "log.format", "plugins",
            "plugins.libraries.echo", "plugins.libraries.echo.file", "agents", "agents.echo",
            "agents.echo.component", "agents.echo.subagents", "agents.echo.mappers",
            "tools", "tools.t.timeout", "mappers", "default_agent", "x",
        ]),
        value in prop_oneof![
            any::<bool>().prop_map(|v| json!(v)),
            any::<i64>().prop_map(|v| json!(v)),
            (-10_000i64..10_000).prop_map(|v| json!(v)),
            (-1e12f64..1e12).prop_map(|v| json!(v)),
            (-100i32..100).prop_map(|v| json!(f64::from(v))),
            "[a-z0-9:./ ]{0,12}".prop_map(|v| json!(v)),
            "[0-9]{1,12} ?(s|ms|MiB|B)".prop_map(|v| json!(v)),
            Just(json!([])),
            Just(json!({})),
            Just(json!([{"component": 1}, {"owner": "x"}, 5, "a"])),
            Just(json!({"component": "echo/echo", "config": 1})),
        ],
    ) {
        if let Err(Faults(faults)) = Loader::empty().flag("--set", key, value).load() {
            for fault in faults {
                prop_assert!(!fault.key.is_empty(), "{fault}");
                prop_assert!(!fault.problem.is_empty());
            }
        }
    }
}
