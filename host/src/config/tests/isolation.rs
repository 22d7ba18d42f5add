//! A plugin's isolation.

use std::path::Path;

use super::*;
use crate::config::{Confinement, FileRules, Isolation};

const REST: &str = "\n[agents.a]\ncomponent = \"a/a\"\n";

fn isolation(keys: &str) -> Isolation {
    let toml = format!("[plugins.libraries.a]\nfile = \"a\"\n{keys}{REST}");
    let config = Config::from_toml(&toml, Path::new("/etc/roundhouse")).unwrap();
    config.plugins.libraries["a"].isolation.clone()
}

#[test]
fn it_is_in_process_unless_one_word_says_otherwise() {
    assert_eq!(isolation(""), Isolation::InProcess);
    assert_eq!(
        isolation("isolation = \"in-process\""),
        Isolation::InProcess
    );
    let nothing = Confinement {
        memory_limit: None,
        env: Vec::new(),
        files: None,
    };
    assert_eq!(
        isolation("isolation = \"process\""),
        Isolation::Process(nothing)
    );
}

#[test]
fn what_a_worker_may_have_is_read_and_paths_are_relative_to_the_file() {
    let keys = "isolation = \"process\"\nmemory_limit = \"1 GiB\"\nenv = [\"HOME\"]\n\
        files = { read = [\"models\"], write = [\"/srv/scratch\"] }\n";
    let expected = Confinement {
        memory_limit: Some(1 << 30),
        env: vec!["HOME".to_owned()],
        files: Some(FileRules {
            read: vec!["/etc/roundhouse/models".into()],
            write: vec!["/srv/scratch".into()],
        }),
    };
    assert_eq!(isolation(keys), Isolation::Process(expected));
}

#[test]
fn what_is_of_no_effect_or_cannot_be_is_refused() {
    let of = |keys: &str| {
        faults(&format!(
            "[plugins.libraries.a]\nfile = \"a\"\n{keys}{REST}"
        ))
    };
    let text = of("memory_limit = \"1 GiB\"\nenv = [\"HOME\"]\nfiles = {}");
    for key in ["memory_limit", "env", "files"] {
        assert!(
            text.contains(&format!("plugins.libraries.a.{key}")),
            "{text}"
        );
    }
    assert!(text.contains("add `isolation = \"process\"`"), "{text}");
    let text = of("isolation = \"process\"\nmemory_limit = \"1 MiB\"\nenv = [\"A=B\"]");
    assert!(text.contains("at least 64 MiB"), "{text}");
    assert!(text.contains("plugins.libraries.a.env[0]"), "{text}");
    let text = of("isolation = \"thread\"");
    assert!(text.contains("plugins.libraries.a.isolation"), "{text}");
}
