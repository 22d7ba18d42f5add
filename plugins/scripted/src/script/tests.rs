use super::*;

fn fault(json: &str) -> String {
    Script::parse(json).unwrap_err().to_string()
}

#[test]
fn every_kind_of_step_is_read() {
    let script = Script::parse(
        r#" [
            {"emit": {"kind": "stream_delta"}}, {"repeat": [3, {"kind": "note", "n": 1}]},
            {"paced": [2, 0.5, {"kind": "thinking_end"}]}, {"sleep": 0}, {"wait_stop": 1.5}, {"ignore_stop": 2},
            {"echo": "user"}, {"echo": "images"}, {"echo": "files"}, {"echo": "history"},
            {"tool": ["calculator", {"expression": "6*7"}]}, {"subagent": ["echo", "hello"]},
            {"log": ["warn", "careful"]}, {"raise": ["agent", "no"]}, {"panic": "aaah"}
        ] "#,
    )
    .unwrap();
    assert_eq!(script.steps.len(), 15);
    assert!(
        matches!(&script.steps[0], Step::Emit(Event::StreamDelta(event)) if event.delta.is_empty())
    );
    assert!(
        matches!(script.steps[2], Step::Paced { times: 2, wait, .. } if wait == Duration::from_millis(500))
    );
    assert!(matches!(script.steps[7], Step::Echo(Received::Images)));
    assert!(matches!(script.steps[12], Step::Log(Level::Warn, _)));
}

#[test]
fn kinds_of_failures_are_told_apart() {
    let raised = |kind: &str| {
        let script = Script::parse(&format!(r#"[{{"raise": ["{kind}", "no luck"]}}]"#)).unwrap();
        match script.steps.into_iter().next() {
            Some(Step::Raise(error)) => error,
            other => panic!("not a failure: {other:?}"),
        }
    };
    assert!(matches!(raised("not_found"), RunError::SessionNotFound));
    assert!(matches!(raised("max_iterations"), RunError::MaxIterations(text) if text == "no luck"));
    assert!(matches!(raised("agent"), RunError::Agent(text) if text == "no luck"));
    assert!(matches!(raised("internal"), RunError::Internal(text) if text == "no luck"));
}

#[test]
fn faults_name_the_step_and_what_would_be_right() {
    assert!(fault("[{").starts_with("script: not JSON: EOF while parsing"));
    assert_eq!(
        fault("{}"),
        "script: must be a JSON list of steps, not an object"
    );
    assert!(fault(r#"[{"sleep": 0}, 3]"#).starts_with(
        "script, step 2: must be an object with one key, not a number; the keys are emit, repeat"
    ));
    assert!(
        fault(r#"[{"sleep": 0, "panic": ""}]"#)
            .starts_with("script, step 1: must have exactly one key, one of emit")
    );
    assert!(fault("[{}]").starts_with("script, step 1: must have exactly one key"));
    assert!(
        fault(r#"[{"jump": 0}]"#)
            .starts_with("script, step 1: there is no step `jump`; there are emit, ")
    );
    assert_eq!(
        fault(r#"[{"sleep": -1}]"#),
        "script, step 1 (`sleep`): seconds must be a number from 0, not -1"
    );
    assert_eq!(
        fault(r#"[{"repeat": [1.5, {"kind": "thinking_end"}]}]"#),
        "script, step 1 (`repeat`): n must be a whole number from 0, not 1.5"
    );
    assert_eq!(
        fault(r#"[{"repeat": [1]}]"#),
        "script, step 1 (`repeat`): must be [n, EVENT], not a list of 1"
    );
    assert_eq!(
        fault(r#"[{"echo": "all"}]"#),
        r#"script, step 1 (`echo`): must be one of "user", "images", "files", "history", not "all""#
    );
    assert_eq!(
        fault(r#"[{"tool": [1, {}]}]"#),
        "script, step 1 (`tool`): the name must be a string, not a number"
    );
    assert_eq!(
        fault(r#"[{"emit": {"type": "stream_delta"}}]"#),
        "script, step 1 (`emit`): an event needs a `kind`, the wire's `type`"
    );
    assert_eq!(
        fault(r#"[{"emit": {"kind": "stream_delta", "delta": 3}}]"#),
        "script, step 1 (`emit`): event `stream_delta`: invalid type: integer `3`, expected a string"
    );
    assert_eq!(
        fault(r#"[{"emit": "stream_delta"}]"#),
        "script, step 1 (`emit`): an event must be an object, not a string"
    );
}
