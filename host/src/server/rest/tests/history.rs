use super::*;

#[tokio::test]
async fn history_has_what_was_said_and_how_it_was_streamed() {
    let api = Api::start("").await;
    let id = api.session().await;
    api.run(
        id,
        UserMessage {
            content: "one two\n\n[notes]".to_owned(),
            user_text: "one two".to_owned(),
            images: vec![ImageData {
                media_type: "image/png".to_owned(),
                bytes: Bytes::from_static(b"12345"),
            }],
            files: vec![FileRef {
                name: "a.txt".to_owned(),
                path: "/a.txt".to_owned(),
            }],
        },
    )
    .await;
    let steps = json!([
        {"emit": {"kind": "tool_started", "tool": "t", "args": {"a": 1}}},
        {"emit": {"kind": "stream_delta", "delta": "half"}},
        {"raise": ["max_iterations", "enough"]}
    ]);
    api.run(id, script(steps)).await;
    let page = api
        .get(&format!("/sessions/{id}/messages"))
        .await
        .expect(200);
    let messages = page["messages"].as_array().unwrap();
    let numbers: Vec<_> = messages
        .iter()
        .map(|message| message["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4]);

    let [user, answer, _, failed] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(
        (&user["role"], &user["content"]),
        (&json!("user"), &json!("one two"))
    );
    assert_eq!(user["agent_content"], "one two\n\n[notes]");
    assert_eq!(
        user["images"],
        json!([{"media_type": "image/png", "bytes": 5}])
    );
    assert_eq!(user["files"], json!([{"name": "a.txt", "path": "/a.txt"}]));

    assert_eq!(
        (&answer["role"], &answer["agent"]),
        (&json!("assistant"), &json!("scripted"))
    );
    assert_eq!(
        (&answer["status"], &answer["error"]),
        (&json!("completed"), &Value::Null)
    );
    assert_eq!(
        (&answer["run_id"], &answer["truncated"]),
        (&user["run_id"], &json!(false))
    );
    assert_eq!(answer["content"], "one two");
    assert_eq!(answer["outcome"]["token_count"], 2);
    let delta = answer["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["type"] == "stream_delta")
        .unwrap();
    assert_eq!(
        (&delta["delta"], &delta["seq_from"], &delta["seq"]),
        (&json!("one two "), &json!(2), &json!(3))
    );
    assert!(
        delta.to_string().starts_with(r#"{"type":"stream_delta","#),
        "{delta}"
    );

    assert_eq!(
        (&failed["status"], &failed["content"]),
        (&json!("error"), &json!("half"))
    );
    assert_eq!(
        failed["error"],
        json!({"code": "max_iterations", "message": "enough"})
    );
    let server = jsonschema::validator_for(&crate::server::documents::server()).unwrap();
    for event in messages
        .iter()
        .flat_map(|message| message["events"].as_array())
        .flatten()
    {
        assert!(server.is_valid(event), "{event}");
    }
    assert!(page["epoch"].is_string());
    assert_eq!(page["before"], Value::Null);
    api.end().await;
}

#[tokio::test]
async fn history_and_runs_come_in_pages() {
    let api = Api::start("").await;
    let id = api.session().await;
    for word in ["a", "b", "c"] {
        api.run(id, text(word)).await;
    }
    let contents = |page: &Value| -> Vec<String> {
        let messages = page["messages"].as_array().unwrap().iter();
        messages
            .map(|message| {
                format!(
                    "{}{}",
                    message["number"],
                    message["content"].as_str().unwrap()
                )
            })
            .collect()
    };
    let newest = api
        .get(&format!("/sessions/{id}/messages?limit=4"))
        .await
        .expect(200);
    assert_eq!(contents(&newest), ["3b", "4b", "5c", "6c"]);
    let older = api
        .get(&format!(
            "/sessions/{id}/messages?limit=4&before={}",
            newest["before"]
        ))
        .await
        .expect(200);
    assert_eq!(contents(&older), ["1a", "2a"]);
    assert_eq!(older["before"], Value::Null);
    assert_eq!(
        contents(
            &api.get(&format!("/sessions/{id}/messages?before=1"))
                .await
                .expect(200)
        ),
        [""; 0]
    );
    for query in ["before=x", "before=-1", "limit=0", "after=1"] {
        api.get(&format!("/sessions/{id}/messages?{query}"))
            .await
            .problem("invalid-query");
    }

    let runs = api
        .get(&format!("/sessions/{id}/runs?limit=2"))
        .await
        .expect(200);
    let numbers = |page: &Value| {
        page["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["message"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(&runs), [6, 4]);
    let next = runs["next"].as_str().unwrap();
    let last = api
        .get(&format!("/sessions/{id}/runs?limit=2&cursor={next}"))
        .await
        .expect(200);
    assert_eq!(
        (numbers(&last), &last["next"]),
        (vec![json!(2)], &Value::Null)
    );
    assert_eq!(last["runs"][0]["outcome"]["token_count"], 1);
    api.end().await;
}

#[tokio::test]
async fn the_answer_of_a_run_in_progress_is_left_out() {
    let api = Api::start("").await;
    let id = api.session().await;
    let cursor = api.begin(id, script(json!([{"wait_stop": 600}]))).await;
    let page = api
        .get(&format!("/sessions/{id}/messages"))
        .await
        .expect(200);
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
    let runs = api.get(&format!("/sessions/{id}/runs")).await.expect(200);
    assert_eq!(
        (&runs["runs"][0]["status"], &runs["runs"][0]["outcome"]),
        (&json!("running"), &Value::Null)
    );
    api.host.registry.stop(id, None);
    to_the_end(cursor).await;
    assert_eq!(
        api.get(&format!("/sessions/{id}/messages"))
            .await
            .expect(200)["messages"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    api.end().await;
}

#[tokio::test]
async fn history_says_up_to_which_position_it_is_complete() {
    let api = Api::start("").await;
    let id = api.session().await;
    let history = async || {
        let path = format!("/sessions/{id}/messages");
        api.get(&path).await.expect(200)
    };
    let latest_run = async || {
        let runs = api.get(&format!("/sessions/{id}/runs")).await.expect(200);
        runs["runs"][0].clone()
    };
    let empty = history().await;
    assert!(empty["epoch"].is_string());
    assert_eq!(empty["last_seq"], 0);

    api.run(id, text("one two")).await;
    let complete = history().await;
    assert_eq!(complete["epoch"], empty["epoch"]);
    assert_eq!(complete["last_seq"], latest_run().await["last_seq"]);

    // While a run is in progress, what it streams comes after the history.
    let cursor = api.begin(id, script(json!([{"wait_stop": 600}]))).await;
    let during = history().await;
    assert_eq!(during["messages"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&during["epoch"], &during["last_seq"]),
        (&complete["epoch"], &complete["last_seq"])
    );
    let first_seq = latest_run().await["first_seq"].as_u64().unwrap();
    assert_eq!(during["last_seq"], first_seq - 1);

    let stop = format!("/sessions/{id}/stop");
    api.call("POST", &stop, None).await.expect(200);
    to_the_end(cursor).await;
    let after = history().await;
    assert_eq!(after["messages"].as_array().unwrap().len(), 4);
    assert_eq!(after["epoch"], complete["epoch"]);
    assert_eq!(after["last_seq"], latest_run().await["last_seq"]);
    assert!(after["last_seq"].as_u64().unwrap() > first_seq);
    api.end().await;
}
