use std::collections::HashSet;

use super::*;

#[tokio::test]
async fn a_session_is_made_read_changed_and_deleted() {
    let api = Api::start("").await;
    let made = api
        .post(
            "/sessions",
            json!({"agent": "second", "title": "Weather", "metadata": {"tab": 3, "x": {"y": []}}}),
        )
        .await;
    let session = made.expect(201);
    let path = format!("/sessions/{}", session["id"].as_str().unwrap());
    assert_eq!(made.headers[header::LOCATION], path.as_str());
    assert_eq!(session["agent"], "second");
    assert_eq!(session["title"], "Weather");
    assert_eq!(session["metadata"], json!({"tab": 3, "x": {"y": []}}));
    assert_eq!(session["run_id"], Value::Null);
    assert_eq!(api.get(&path).await.expect(200), session);

    let changed = api
        .call("PATCH", &path, Some(json!({"title": "Rain"})))
        .await
        .expect(200);
    assert_eq!(
        (&changed["title"], &changed["agent"]),
        (&json!("Rain"), &json!("second"))
    );
    assert_eq!(changed["metadata"], session["metadata"]);
    assert_eq!(changed["profile"], Value::Null);
    for profile in [json!("careful"), Value::Null] {
        let changes = Some(json!({ "profile": profile }));
        let changed = api.call("PATCH", &path, changes).await.expect(200);
        assert_eq!(changed["profile"], profile);
        assert_eq!(changed["title"], "Rain");
    }
    let changes = json!({"agent": null, "title": null, "metadata": {"new": true}});
    let changed = api.call("PATCH", &path, Some(changes)).await.expect(200);
    assert_eq!(
        (&changed["title"], &changed["agent"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(changed["metadata"], json!({"new": true}));
    let changed = api
        .call("PATCH", &path, Some(json!({"metadata": null})))
        .await
        .expect(200);
    assert_eq!(changed["metadata"], json!({}));
    assert_eq!(
        api.call("PATCH", &path, Some(json!({}))).await.expect(200)["metadata"],
        json!({})
    );

    api.call("DELETE", &path, None).await.expect(204);
    api.get(&path).await.problem("session-not-found");
    api.call("DELETE", &path, None)
        .await
        .problem("session-not-found");
    api.call("PATCH", &path, Some(json!({})))
        .await
        .problem("session-not-found");
    api.end().await;
}

#[tokio::test]
async fn everything_about_a_new_session_is_optional() {
    let api = Api::start("").await;
    let nulls = json!({"agent": null, "title": null, "metadata": null});
    for made in [
        api.call("POST", "/sessions", None).await,
        api.post("/sessions", json!({})).await,
        api.post("/sessions", nulls).await,
    ] {
        let session = made.expect(201);
        assert_eq!(
            (&session["agent"], &session["title"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(session["metadata"], json!({}));
    }
    api.end().await;
}

#[tokio::test]
async fn a_wrong_body_is_refused_with_the_place_of_the_fault() {
    let api = Api::start("").await;
    let unknown = api
        .post("/sessions", json!({"agent": "nobody"}))
        .await
        .problem("unknown-agent");
    assert_eq!(unknown["agents"], json!(["scripted", "second"]));
    assert_eq!(
        unknown["detail"],
        "no agent `nobody` is configured; there is: scripted, second"
    );
    assert_eq!(unknown["pointer"], "/agent");

    let misspelt = api
        .post("/sessions", json!({"titel": "x"}))
        .await
        .problem("invalid-body");
    assert_eq!(
        misspelt["detail"],
        "unknown field `titel`, expected one of `agent`, `profile`, `title`, `metadata`"
    );
    assert_eq!(
        (&misspelt["pointer"], &misspelt["line"]),
        (&json!("/titel"), &json!(1))
    );
    for profile in [String::new(), "x".repeat(201)] {
        let wrong = api.post("/sessions", json!({ "profile": profile })).await;
        assert_eq!(wrong.problem("invalid-body")["pointer"], "/profile");
    }
    let wrong = api
        .post("/sessions", json!({"metadata": []}))
        .await
        .problem("invalid-body");
    assert_eq!(wrong["pointer"], "/metadata");
    api.post("/sessions", json!(null))
        .await
        .problem("invalid-body");
    api.post("/sessions", json!({"title": "x".repeat(501)}))
        .await
        .problem("invalid-body");
    api.post("/sessions", json!({"title": "ä".repeat(500)}))
        .await
        .expect(201);
    let large = api
        .post("/sessions", json!({"metadata": {"x": "x".repeat(65_536)}}))
        .await
        .problem("invalid-body");
    assert_eq!(large["pointer"], "/metadata");
    api.post("/sessions", json!({"metadata": {"x": "x".repeat(1 << 20)}}))
        .await
        .problem("body-too-large");

    let raw = |content_type: &str, body: &'static str| {
        let request = Request::post("/sessions").header(header::CONTENT_TYPE, content_type);
        api.send(request.body(Body::from(body)).unwrap())
    };
    let cut = raw("application/json", "{\n\"title\":")
        .await
        .problem("invalid-json");
    assert_eq!((&cut["line"], &cut["column"]), (&json!(2), &json!(8)));
    raw("application/json", "{} {}")
        .await
        .problem("invalid-json");
    let form = raw("application/x-www-form-urlencoded", "title=x")
        .await
        .problem("unsupported-media-type");
    assert!(
        form["detail"]
            .as_str()
            .unwrap()
            .contains("application/json"),
        "{form}"
    );
    raw("application/json; charset=utf-8", "{}")
        .await
        .expect(201);
    api.end().await;
}

#[tokio::test]
async fn every_session_is_on_exactly_one_page() {
    let api = Api::start("").await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(api.session().await.to_string());
    }
    made.reverse();
    let (mut seen, mut path) = (Vec::new(), "/sessions?limit=3".to_owned());
    loop {
        let page = api.get(&path).await.expect(200);
        let ids = page["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|session| session["id"].as_str().unwrap().to_owned());
        seen.extend(ids);
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/sessions?limit=3&cursor={next}");
    }
    assert_eq!(seen, made);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 7);
    assert_eq!(
        api.get("/sessions").await.expect(200)["sessions"]
            .as_array()
            .unwrap()
            .len(),
        7
    );

    for (query, word) in [
        ("limit=0", "limit"),
        ("limit=501", "from 1 to 500"),
        ("limit=many", "limit"),
        ("cursor=nonsense", "cursor"),
        ("limmit=3", "limmit"),
    ] {
        let problem = api
            .get(&format!("/sessions?{query}"))
            .await
            .problem("invalid-query");
        assert!(
            problem["detail"].as_str().unwrap().contains(word),
            "{problem}"
        );
    }
    api.end().await;
}

#[tokio::test]
async fn stop_answers_whether_there_is_a_run() {
    let api = Api::start("").await;
    let id = api.session().await;
    let path = format!("/sessions/{id}/stop");
    let none = json!({"ok": false, "reason": "no active run"});
    assert_eq!(api.call("POST", &path, None).await.expect(200), none);
    for unknown in [
        SessionId::new().to_string(),
        "nonsense".to_owned(),
        "%2e%2e".to_owned(),
        "%ff".to_owned(),
    ] {
        let path = format!("/sessions/{unknown}/stop");
        assert_eq!(
            api.call("POST", &path, None).await.expect(200),
            none,
            "{unknown}"
        );
    }

    let cursor = api.begin(id, script(json!([{"wait_stop": 600}]))).await;
    assert!(api.get(&format!("/sessions/{id}")).await.expect(200)["run_id"].is_string());
    assert_eq!(
        api.call("POST", &path, None).await.expect(200),
        json!({"ok": true})
    );
    let again = api.post(&path, json!({"nonsense": [1]})).await.expect(200);
    assert!(again == json!({"ok": true}) || again == none, "{again}");
    to_the_end(cursor).await;
    assert_eq!(api.call("POST", &path, None).await.expect(200), none);
    let runs = api.get(&format!("/sessions/{id}/runs")).await.expect(200);
    assert_eq!(runs["runs"][0]["status"], "stopped");
    api.end().await;
}

#[tokio::test]
async fn deleting_a_session_ends_its_run() {
    let api = Api::start("").await;
    let id = api.session().await;
    let cursor = api.begin(id, script(json!([{"wait_stop": 600}]))).await;
    let other = api.host.registry.open(id);
    api.call("DELETE", &format!("/sessions/{id}"), None)
        .await
        .expect(204);
    to_the_end(cursor).await;
    assert!(other.is_gone());
    for rest in ["", "/messages", "/runs", "/files"] {
        api.get(&format!("/sessions/{id}{rest}"))
            .await
            .problem("session-not-found");
    }
    api.end().await;
}
