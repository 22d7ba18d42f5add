//! What cannot change while the host runs.

use crate::config::Config;

/// Puts what cannot change back to what it was, and says which keys are affected.
pub(super) fn keep(new: &mut Config, old: &Config) -> Vec<&'static str> {
    let mut kept = Vec::new();
    let mut keep = |key, differs: bool| {
        if differs {
            kept.push(key);
        }
        differs
    };
    // Clients and supervisors know the socket, which is bound.
    if keep("server.listen", new.server.listen != old.server.listen) {
        new.server.listen = old.server.listen;
    }
    // The database is open, and sessions' uploads lie beside it.
    if keep("storage.path", new.storage.path != old.storage.path) {
        new.storage.path.clone_from(&old.storage.path);
    }
    // One process has one log, and every library was told which levels it need not write.
    if keep("log.filter", new.log.filter != old.log.filter) {
        new.log.filter.clone_from(&old.log.filter);
    }
    if keep("log.format", new.log.format != old.log.format) {
        new.log.format = old.log.format;
    }
    let endpoint = &old.telemetry.otlp_endpoint;
    if keep(
        "telemetry.otlp_endpoint",
        new.telemetry.otlp_endpoint != *endpoint,
    ) {
        new.telemetry.otlp_endpoint.clone_from(endpoint);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_change_is_named_and_stays() {
        let config = |text: &str| Config::from_toml(text, "/here").unwrap();
        let old = config("");
        let mut new = config(
            "[server]\nlisten = \"127.0.0.1:9\"\nmax_connections = 7\n[storage]\npath = \"there\"\n\
             [log]\nfilter = \"debug\"\nformat = \"json\"\n[telemetry]\notlp_endpoint = \"http://127.0.0.1:1/\"\n",
        );
        let kept = keep(&mut new, &old);
        assert_eq!(
            kept,
            [
                "server.listen",
                "storage.path",
                "log.filter",
                "log.format",
                "telemetry.otlp_endpoint"
            ]
        );
        assert_eq!(new.server.listen, old.server.listen);
        assert_eq!(new.storage.path, old.storage.path);
        assert_eq!(new.telemetry.otlp_endpoint, None);
        assert_eq!(new.server.max_connections, 7);
        assert!(keep(&mut new, &old).is_empty());
    }
}
