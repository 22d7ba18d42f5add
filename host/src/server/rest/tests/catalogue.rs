use super::*;
use crate::protocol::schema::schema_text;
use crate::server::documents;

#[tokio::test]
async fn the_catalogue_shows_what_serves_and_what_does_not() {
    let more = r#"
        [plugins.libraries.missing]
        file = "no_such_library"
        required = false
        [agents.away]
        component = "missing/agent"
        config = {password = "hunter2"}
    "#;
    let api = Api::start(more).await;
    let agents = api.get("/agents").await.expect(200);
    assert_eq!(agents["default_agent"], "scripted");
    let [away, scripted, second] = &agents["agents"].as_array().unwrap()[..] else {
        panic!("{agents}")
    };
    assert_eq!(
        (&away["name"], &away["available"]),
        (&json!("away"), &json!(false))
    );
    assert!(
        away["reason"].as_str().unwrap().contains("no_such_library"),
        "{away}"
    );
    assert_eq!(
        (&scripted["available"], &scripted["reason"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(scripted["component"], "scripted/scripted");
    assert_eq!(
        (&second["display_name"], &second["subagents"]),
        (&json!("The other one"), &json!(["scripted"]))
    );
    assert_eq!(second["tools"], json!([]));

    let plugins = api.get("/plugins").await.expect(200);
    let [missing, loaded] = &plugins["plugins"].as_array().unwrap()[..] else {
        panic!("{plugins}")
    };
    assert_eq!(
        (&missing["name"], &missing["state"]),
        (&json!("missing"), &json!("failed"))
    );
    assert_eq!(missing["generation"], Value::Null);
    let [generation] = &plugins["generations"].as_array().unwrap()[..] else {
        panic!("{plugins}")
    };
    assert_eq!(loaded["generation"], generation["number"]);
    assert_eq!(
        (&generation["plugin"], &generation["state"]),
        (&json!("scripted"), &json!("serving"))
    );
    assert_eq!(generation["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(plugins["max_generations"], 256);
    assert_eq!(missing["required"], false);
    assert!(
        missing["reasons"][0]
            .as_str()
            .unwrap()
            .contains("no_such_library"),
        "{missing}"
    );
    assert_eq!(
        (&loaded["state"], &loaded["reasons"]),
        (&json!("loaded"), &json!([]))
    );
    assert_eq!(
        (
            &loaded["components"][0]["kind"],
            &loaded["components"][0]["name"]
        ),
        (&json!("agent"), &json!("scripted"))
    );
    assert!(
        loaded["file"]
            .as_str()
            .unwrap()
            .contains("roundhouse_scripted"),
        "{loaded}"
    );
    for answer in [&agents, &plugins] {
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    }
    api.end().await;
}

#[tokio::test]
async fn tools_are_listed_with_their_schemas() {
    let more = r#"
        [plugins.libraries.toolbox]
        file = "roundhouse_toolbox"
        [tools.math]
        component = "toolbox/toolbox"
        prefix = "my_"
    "#;
    let api = Api::start(more).await;
    let tools = api.get("/tools").await.expect(200);
    assert_eq!(tools["toolsets"][0]["component"], "toolbox/toolbox");
    let tool = &tools["tools"][0];
    assert!(tool["name"].as_str().unwrap().starts_with("my_"), "{tools}");
    assert_eq!(
        (&tool["toolset"], &tool["plugin"]),
        (&json!("math"), &json!("toolbox"))
    );
    assert_eq!(tool["input_schema"]["type"], "object");
    let scripted = &api.get("/agents").await.expect(200)["agents"][0];
    assert_eq!(scripted["tools"][0], tool["name"]);
    api.end().await;
}

#[tokio::test]
async fn health_and_readiness() {
    let api = Api::start("").await;
    assert_eq!(
        api.get("/healthz").await.expect(200),
        json!({"status": "ok"})
    );
    let ready = json!({"status": "ok", "checks": {"storage": "ok", "runs": "ok"}});
    assert_eq!(api.get("/readyz").await.expect(200), ready);

    api.host.registry.refuse_new();
    let draining =
        json!({"status": "unavailable", "checks": {"storage": "ok", "runs": "unavailable"}});
    assert_eq!(api.get("/readyz").await.expect(503), draining);
    assert_eq!(
        api.get("/healthz").await.expect(200),
        json!({"status": "ok"})
    );

    api.host.store.close().await.unwrap();
    assert_eq!(
        api.get("/readyz").await.expect(503)["checks"]["storage"],
        "unavailable"
    );
    api.get("/sessions").await.problem("unavailable");
    api.end().await;
}

#[tokio::test]
async fn the_published_documents_are_served() {
    let api = Api::start("").await;
    for (name, document) in [
        ("client", documents::client()),
        ("server", documents::server()),
        ("config", documents::config()),
        ("openapi", documents::openapi()),
        ("asyncapi", documents::asyncapi()),
    ] {
        for path in [format!("/schema/{name}"), format!("/schema/{name}.json")] {
            let answer = api.get(&path).await;
            answer.expect(200);
            assert!(answer.body == schema_text(&document), "{path}");
        }
    }
    let openapi = api.get("/openapi.json").await.expect(200);
    assert!(openapi["openapi"] == "3.1.1" && openapi == documents::openapi());
    let asyncapi = api.get("/asyncapi.json").await.expect(200);
    assert!(asyncapi["asyncapi"] == "3.0.0" && asyncapi == documents::asyncapi());
    let problem = api.get("/schema/nonsense").await.problem("not-found");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("client, server, config"),
        "{problem}"
    );

    let described = api.get(problem["type"].as_str().unwrap()).await.expect(200);
    assert_eq!(
        (&described["type"], &described["status"]),
        (&problem["type"], &json!(404))
    );
    api.get("/problems/nonsense").await.problem("not-found");
    api.end().await;
}
