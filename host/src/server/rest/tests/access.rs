use super::*;

/// SHA-256 of `one` and `two`.
const TOKENS: &str = r#"
[auth]
tokens = [
    {owner = "ada", sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"},
    {owner = "bob", sha256 = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"},
]
"#;

fn request(method: &str, path: &str, token: Option<&str>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    };
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn every_route_but_the_public_ones_needs_a_token() {
    let api = Api::start(TOKENS).await;
    let mut seen = 0;
    for (path, item) in OPENAPI["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if method == "parameters" {
                continue;
            }
            let path = path.replace("{session_id}", &SessionId::new().to_string());
            let answer = api
                .send(request(&method.to_ascii_uppercase(), &path, None))
                .await;
            if operation["security"] == json!([]) {
                assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
                assert!(
                    ["/healthz", "/readyz", "/openapi.json", "/asyncapi.json"]
                        .contains(&path.as_str())
                        || path.starts_with("/schema/")
                        || path.starts_with("/problems/"),
                    "{path}"
                );
            } else {
                answer.problem("not-authenticated");
                assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
                seen += 1;
            }
        }
    }
    assert!(seen >= 13, "{seen}");
    let wrong = api.send(request("GET", "/sessions", Some("three"))).await;
    wrong.problem("not-authenticated");
    assert_eq!(
        wrong.headers[header::WWW_AUTHENTICATE],
        r#"Bearer error="invalid_token""#
    );
    assert!(!String::from_utf8_lossy(&wrong.body).contains("three"));
    api.end().await;
}

#[tokio::test]
async fn another_owners_session_does_not_exist() {
    let api = Api::start(TOKENS).await;
    let session = api
        .send(request("POST", "/sessions", Some("one")))
        .await
        .expect(201);
    let path = format!("/sessions/{}", session["id"].as_str().unwrap());
    api.send(request("GET", &path, Some("one")))
        .await
        .expect(200);
    for (method, rest) in [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/messages"),
        ("GET", "/runs"),
        ("GET", "/files"),
    ] {
        let answer = api
            .send(request(method, &format!("{path}{rest}"), Some("two")))
            .await;
        answer.problem("session-not-found");
    }
    assert_eq!(
        api.send(request("GET", "/sessions", Some("two")))
            .await
            .expect(200)["sessions"],
        json!([])
    );

    // A run of another's session is none, and goes on.
    let id = session["id"].as_str().unwrap().parse().unwrap();
    let stored = api.host.store.get(&Owner::new("ada"), id).await.unwrap();
    let handle = api.host.registry.open(id);
    let cursor = handle
        .start(&stored, script(json!([{"wait_stop": 600}])))
        .await
        .unwrap();
    let stop = format!("{path}/stop");
    let none = json!({"ok": false, "reason": "no active run"});
    assert_eq!(
        api.send(request("POST", &stop, Some("two")))
            .await
            .expect(200),
        none
    );
    assert!(handle.is_busy());
    assert_eq!(
        api.send(request("POST", &stop, Some("one")))
            .await
            .expect(200),
        json!({"ok": true})
    );
    to_the_end(cursor).await;
    drop(handle);
    api.end().await;
}

fn from_page(method: &str, path: &str, origin: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "127.0.0.1:8080")
        .header(header::ORIGIN, origin)
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing() {
    let api = Api::start("[server]\norigins = [\"https://app.example\"]").await;
    let id = api.session().await;
    let session = format!("/sessions/{id}");
    for (method, path) in [
        ("POST", "/sessions".to_owned()),
        ("PATCH", session.clone()),
        ("DELETE", session.clone()),
        ("POST", format!("{session}/files")),
        ("POST", format!("{session}/stop")),
    ] {
        let answer = api
            .send(from_page(method, &path, "https://evil.example"))
            .await;
        answer.problem("origin-not-allowed");
        assert!(
            !answer
                .headers
                .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        );
    }
    // It may be sent, but a browser does not show the answer to the page.
    let read = api
        .send(from_page("GET", &session, "https://evil.example"))
        .await;
    read.expect(200);
    assert!(
        !read
            .headers
            .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    );
    assert_eq!(read.headers[header::VARY], "origin");

    for origin in ["https://app.example", "http://127.0.0.1:8080"] {
        let made = api.send(from_page("POST", "/sessions", origin)).await;
        made.expect(201);
        assert_eq!(made.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], origin);
    }
    api.end().await;
}

#[tokio::test]
async fn a_browser_that_asks_first_is_answered() {
    let api = Api::start(&format!(
        "{TOKENS}\n[server]\norigins = [\"https://app.example\"]"
    ))
    .await;
    let ask = |origin| {
        let mut request = from_page("OPTIONS", "/sessions", origin);
        request.headers_mut().insert(
            header::ACCESS_CONTROL_REQUEST_METHOD,
            "POST".parse().unwrap(),
        );
        request
    };
    // Without a token: browsers send none when they ask.
    let answer = api.send(ask("https://app.example")).await;
    answer.expect(204);
    assert_eq!(
        answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN],
        "https://app.example"
    );
    assert!(
        answer.headers[header::ACCESS_CONTROL_ALLOW_METHODS]
            .to_str()
            .unwrap()
            .contains("PATCH")
    );
    assert_eq!(
        answer.headers[header::ACCESS_CONTROL_ALLOW_HEADERS],
        "authorization, content-type"
    );
    let refused = api.send(ask("https://evil.example")).await;
    refused.problem("origin-not-allowed");
    assert!(
        !refused
            .headers
            .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    );
    // A page that may is told why it is refused.
    let unauthenticated = api
        .send(from_page("GET", "/sessions", "https://app.example"))
        .await;
    unauthenticated.problem("not-authenticated");
    assert_eq!(
        unauthenticated.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN],
        "https://app.example"
    );
    api.end().await;
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let api = Api::start("").await;
    api.get("/nonsense").await.problem("not-found");
    api.get("/").await.problem("not-found");
    let wrong = api.call("PUT", "/sessions", None).await;
    wrong.problem("method-not-allowed");
    let allowed = wrong.headers[header::ALLOW].to_str().unwrap();
    assert!(
        allowed.contains("GET") && allowed.contains("POST"),
        "{allowed}"
    );
    api.call("POST", "/healthz", None)
        .await
        .problem("method-not-allowed");
    api.get("/sessions/nonsense")
        .await
        .problem("session-not-found");
    api.get("/sessions/%ff").await.problem("session-not-found");
    assert_eq!(
        api.call("HEAD", "/healthz", None).await.status,
        StatusCode::OK
    );
    api.end().await;
}

#[tokio::test]
async fn what_has_no_source_is_not_read_again() {
    let api = Api::start("").await;
    let answer = api.call("POST", "/admin/reload", None).await;
    let problem = answer.problem("unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("read again"));
    api.end().await;
    let api = Api::start(TOKENS).await;
    let answer = api
        .send(request("POST", "/admin/reload", Some("one")))
        .await;
    answer.problem("not-permitted");
    api.end().await;
}
