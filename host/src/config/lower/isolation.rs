//! Lowers what is configured of a plugin's isolation.

use super::Lowering;
use crate::config::checked::{Confinement, FileRules, Isolation};
use crate::config::located::step;
use crate::config::raw;

/// Less than this a worker process cannot do with: its threads' stacks alone take some of it.
const LEAST_MEMORY: u64 = 64 << 20;

impl Lowering<'_> {
    /// The isolation of the library at `pointer`.
    pub(super) fn isolation(&mut self, pointer: &str, raw: &raw::Library) -> Isolation {
        if raw.isolation == raw::Isolation::InProcess {
            self.nothing_of_a_worker(pointer, raw);
            return Isolation::InProcess;
        }
        let memory_limit = raw.memory_limit.map(|size| size.0);
        if memory_limit.is_some_and(|bytes| bytes < LEAST_MEMORY) {
            let at = step(pointer, "memory_limit");
            self.fault(
                &at,
                "is too little for a process",
                "expected at least 64 MiB",
            );
        }
        for (index, name) in raw.env.iter().enumerate() {
            if name.contains(['=', '\0']) {
                self.fault(
                    &format!("{pointer}/env/{index}"),
                    "is no name of an environment variable",
                    "expected a name such as \"HOME\"; its value is the host's own",
                );
            }
        }
        let paths = |key: &str, paths: &[String]| {
            let at = |index| format!("{pointer}/files/{key}/{index}");
            let paths = paths.iter().enumerate();
            paths
                .map(|(index, path)| self.path(&at(index), path))
                .collect()
        };
        let files = raw.files.as_ref().map(|files| FileRules {
            read: paths("read", &files.read),
            write: paths("write", &files.write),
        });
        Isolation::Process(Confinement {
            memory_limit,
            env: raw.env.clone(),
            files,
        })
    }

    /// What would be of no effect is a mistake.
    fn nothing_of_a_worker(&mut self, pointer: &str, raw: &raw::Library) {
        let given = [
            ("memory_limit", raw.memory_limit.is_some()),
            ("env", !raw.env.is_empty()),
            ("files", raw.files.is_some()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            self.fault(
                &step(pointer, key),
                "is of no effect on a plugin in the host's own process",
                "add `isolation = \"process\"`, or remove it",
            );
        }
    }
}
