//! `roundhouse child-guard`: a program that ends with whoever has started it, and all that it has started.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use roundhouse_tests::{is_gone, soon, until};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// A shell script under a guard.
fn guarded(flags: &[&str], script: &str) -> Child {
    program(flags, &["/bin/sh", "-c", script])
}

fn program(flags: &[&str], command: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_roundhouse"))
        .arg("child-guard")
        .args(flags)
        .arg("--")
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The exit code, and what was printed to both.
async fn ended(child: Child) -> (i32, String, String) {
    let output = soon("the end of the guard", child.wait_with_output())
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The lines that it prints, numbers of processes, as many as these.
async fn pids(child: &mut Child, count: usize) -> Vec<u32> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut pids = Vec::new();
    while pids.len() < count {
        let line = soon("a line", lines.next_line()).await.unwrap().unwrap();
        pids.push(line.trim().parse().unwrap());
    }
    pids
}

async fn all_gone(pids: &[u32]) {
    for pid in pids {
        until("the end of a process", || is_gone(*pid)).await;
    }
}

/// Closed, and the guard's end awaited.
async fn closed(mut child: Child, input: ChildStdin) -> i32 {
    drop(input);
    let status = soon("the end of the guard", child.wait()).await.unwrap();
    status.code().unwrap()
}

#[tokio::test]
async fn what_comes_in_goes_out_and_the_exit_code_is_the_programs() {
    let mut child = guarded(&[], "cat; echo oh >&2; exit 7");
    let mut input = child.stdin.take().unwrap();
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut output = child.stdout.take().unwrap();
    let expected = sent.clone();
    let reading = tokio::spawn(async move {
        let mut read = Vec::new();
        output.read_to_end(&mut read).await.unwrap();
        read
    });
    soon("writing", input.write_all(&sent)).await.unwrap();
    drop(input);
    assert!(soon("reading", reading).await.unwrap() == expected);
    let (code, _, errors) = ended(child).await;
    assert_eq!((code, errors.as_str()), (7, "oh\n"));
}

#[tokio::test]
async fn a_signal_that_ended_the_program_is_in_the_exit_code() {
    let mut child = guarded(&[], "kill -KILL $$");
    let _input = child.stdin.take();
    assert_eq!(ended(child).await.0, 128 + 9);
}

#[tokio::test]
async fn a_program_that_ends_at_the_end_of_its_input_is_given_the_time() {
    let mut child = guarded(&[], "cat; sleep 0.3; echo done");
    drop(child.stdin.take());
    let (code, output, _) = ended(child).await;
    assert_eq!((code, output.as_str()), (0, "done\n"));
}

#[tokio::test]
async fn a_program_that_does_not_end_is_asked_to() {
    let mut child = guarded(
        &[],
        "trap 'exit 5' TERM; echo $$; while :; do sleep 0.1; done",
    );
    let input = child.stdin.take().unwrap();
    let pids = pids(&mut child, 1).await;
    assert_eq!(closed(child, input).await, 5);
    all_gone(&pids).await;
}

#[tokio::test]
async fn a_program_that_will_not_end_is_ended_with_all_that_it_has_started() {
    let script = "trap '' TERM HUP; echo $$; \
        (trap '' TERM HUP; exec setsid sh -c 'trap \"\" TERM HUP; echo $$; while :; do sleep 0.1; done') & \
        while :; do sleep 0.1; done";
    let mut child = guarded(&[], script);
    let input = child.stdin.take().unwrap();
    let pids = pids(&mut child, 2).await;
    assert_eq!(closed(child, input).await, 128 + 9);
    // The guard itself has seen to that before it ended.
    assert!(pids.iter().all(|pid| is_gone(*pid)));
}

#[tokio::test]
async fn what_a_program_leaves_behind_ends_with_it() {
    // Twice forked and in a session of its own, as daemons are.
    let script = "(setsid sh -c 'sleep 1000 & echo $!; exit' &) ; echo $$; read line; exit 3";
    let mut child = guarded(&[], script);
    let mut input = child.stdin.take().unwrap();
    let pids = pids(&mut child, 2).await;
    soon("telling it to end", input.write_all(b"\n"))
        .await
        .unwrap();
    let status = soon("the end of the guard", child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(3));
    assert!(pids.iter().all(|pid| is_gone(*pid)));
}

#[tokio::test]
async fn the_program_ends_when_its_guard_is_killed() {
    let mut child = guarded(&[], "echo $$; exec sleep 1000");
    let _input = child.stdin.take();
    let pids = pids(&mut child, 1).await;
    soon("killing the guard", child.kill()).await.unwrap();
    all_gone(&pids).await;
}

#[tokio::test]
async fn a_signal_to_the_guard_is_the_end_of_the_input() {
    for signal in ["TERM", "INT", "HUP"] {
        let script = "trap '' TERM INT HUP; (setsid sh -c 'echo $$; exec sleep 1000' &); \
            echo $$; cat; exit 6";
        let mut child = guarded(&[], script);
        // Held, so that nothing but the signal ends it.
        let _input = child.stdin.take();
        let pids = pids(&mut child, 2).await;
        let guard = child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", signal, &guard]).status();
        assert!(soon("kill", sent).await.unwrap().success());
        let status = soon("the end of the guard", child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(6), "{signal}: {status}");
        assert!(pids.iter().all(|pid| is_gone(*pid)), "{signal}");
    }
}

#[tokio::test]
async fn a_program_is_not_in_the_session_of_the_hosts_terminal() {
    let mut child = guarded(&[], "echo $$; cut -d ' ' -f 6 /proc/$$/stat");
    let _input = child.stdin.take();
    let pids = pids(&mut child, 2).await;
    assert_eq!(pids[0], pids[1]);
}

#[tokio::test]
async fn the_end_of_the_input_is_seen_although_nobody_reads_it() {
    let mut child = guarded(&[], "echo $$; exec sleep 1000");
    let mut input = child.stdin.take().unwrap();
    let pids = pids(&mut child, 1).await;
    // Until there is room nowhere any more: in neither pipe, nor in the guard.
    let full = async {
        loop {
            let writing = input.write_all(&[b'x'; 64 * 1024]);
            if tokio::time::timeout(Duration::from_millis(200), writing)
                .await
                .is_err()
            {
                return;
            }
        }
    };
    soon("filling the pipes", full).await;
    assert_eq!(closed(child, input).await, 128 + 15);
    all_gone(&pids).await;
}

#[tokio::test]
async fn a_program_that_closes_its_input_goes_on() {
    let mut child = guarded(&[], "exec 0<&-; sleep 0.3; echo done; exit 4");
    let mut input = child.stdin.take().unwrap();
    // Nobody wants it, and nothing is wrong with that.
    let flood = async { input.write_all(&vec![b'x'; 1 << 20]).await };
    soon("writing what nobody reads", flood).await.unwrap();
    let (code, output, _) = ended(child).await;
    assert_eq!((code, output.as_str()), (4, "done\n"));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told_of() {
    let child = program(&[], &["no-such-program-anywhere"]);
    let (code, _, errors) = ended(child).await;
    assert_eq!(code, 127);
    assert!(
        errors.contains("`no-such-program-anywhere` cannot be started: No such file"),
        "{errors}"
    );
    let child = program(&[], &["/etc"]);
    let (code, _, errors) = ended(child).await;
    assert_eq!(code, 126);
    assert!(errors.contains("`/etc` cannot be started"), "{errors}");
}

#[tokio::test]
async fn a_confined_program_has_the_files_that_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("file"), name).unwrap();
        folder
    };
    let (read, write, other) = (made("read"), made("write"), made("other"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let flags = [
        "--confine",
        "--read",
        &text(&read),
        "--write",
        &text(&write),
    ]
    .map(str::to_owned);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let script = format!(
        "cat {read}/file; cat {write}/file; cat {other}/file; echo x >{read}/new; echo x >{write}/new; \
         echo x >{other}/new; ls {other}; ln -s {other}/file {write}/link; cat {write}/link; \
         cat /etc/passwd >/dev/null && echo system; cat /proc/{test}/environ; exec true",
        test = std::process::id(),
        read = read.display(),
        write = write.display(),
        other = other.display()
    );
    let mut child = guarded(&flags, &script);
    let _input = child.stdin.take();
    let (code, output, errors) = ended(child).await;
    assert_eq!(
        (code, output.as_str()),
        (0, "readwritesystem\n"),
        "{errors}"
    );
    let is_there = |folder: &PathBuf| folder.join("new").exists();
    assert!(is_there(&write) && !is_there(&read) && !is_there(&other));
    assert!(!errors.contains("roundhouse"), "{errors}");
}

#[tokio::test]
async fn a_confined_program_in_a_home_has_not_all_of_the_home() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let write = |name: &str, text: &str| {
        let file = home.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file
    };
    write("lib/own", "own");
    write("secret", "secret");
    write(".ssh/key", "key");
    let script = format!(
        "#!/bin/sh\ncat {home}/lib/own; cat {home}/secret; cat {home}/.ssh/key; exit 0\n",
        home = home.display()
    );
    let tool = write("bin/tool", &script);
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    // Also by a link from elsewhere. Where the program is told that its home is does not matter, as it is the program's.
    let link = home.join("linked/bin/tool");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&tool, &link).unwrap();
    for tool in [tool, link] {
        let child = program(&["--confine"], &[tool.to_str().unwrap()]);
        let (code, output, errors) = ended(child).await;
        assert_eq!((code, output.as_str()), (0, "own"), "{errors}");
    }
}

#[tokio::test]
async fn a_confined_program_signals_nobody_but_its_own() {
    let mut other = Command::new("sleep")
        .arg("1000")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let script = format!(
        "kill -0 {} 2>/dev/null && echo others; sleep 1000 & kill $! && echo own",
        other.id().unwrap()
    );
    let mut child = guarded(&["--confine"], &script);
    let _input = child.stdin.take();
    let (_, output, errors) = ended(child).await;
    // Landlock does that since Linux 6.12; docs/acp.md says so.
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut release = release.split('.').map(|part| part.parse().unwrap_or(0));
    let release: (u32, u32) = (release.next().unwrap(), release.next().unwrap());
    let expected = match release >= (6, 12) {
        true => "own\n",
        false => "others\nown\n",
    };
    assert_eq!(output, expected, "{errors}");
    soon("ending the other", other.kill()).await.unwrap();
}

#[tokio::test]
async fn what_a_program_is_to_be_confined_to_has_to_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let flags = ["--confine", "--write", missing.to_str().unwrap()];
    let (code, _, errors) = ended(guarded(&flags, "echo never")).await;
    assert_eq!(code, 126);
    assert!(
        errors.contains("`/bin/sh` cannot be confined") && errors.contains("missing"),
        "{errors}"
    );
}
