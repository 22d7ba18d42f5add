use std::collections::HashMap;
use std::fs;

use proptest::prelude::*;

use super::*;

fn file(name: &str, path: impl AsRef<Path>) -> FileRef {
    FileRef {
        name: name.into(),
        path: path.as_ref().to_str().unwrap().into(),
    }
}

/// Two sessions' folders with a file each, and a file of neither.
struct Uploads {
    _root: tempfile::TempDir,
    root: PathBuf,
    own: PathBuf,
}

fn uploads() -> Uploads {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for session in ["1", "12"] {
        fs::create_dir_all(root.join(session).join("sub")).unwrap();
        fs::write(root.join(session).join("a.txt"), session).unwrap();
    }
    fs::write(root.join("secret"), "s").unwrap();
    Uploads {
        _root: folder,
        own: root.join("1"),
        root,
    }
}

impl Uploads {
    fn check(&self, paths: &[&Path]) -> Result<Vec<String>, String> {
        let files: Vec<_> = paths.iter().map(|path| file("n", path)).collect();
        match check_files(&files, &self.own, &Disk) {
            Ok(files) => Ok(files.into_iter().map(|file| file.path).collect()),
            Err(fault) => Err(fault.to_string()),
        }
    }

    fn admits(&self, path: impl AsRef<Path>) -> bool {
        self.check(&[path.as_ref()]).is_ok()
    }
}

#[test]
fn admits_uploads_by_absolute_and_relative_path() {
    let uploads = uploads();
    let whole = uploads.own.join("a.txt");
    let expected = vec![whole.to_str().unwrap().to_owned(); 4];
    let paths = [
        whole.as_path(),
        Path::new("a.txt"),
        Path::new("./sub/../a.txt"),
        &uploads.root.join("12/../1/a.txt"),
    ];
    assert_eq!(uploads.check(&paths), Ok(expected));
    fs::write(uploads.own.join("sub/ü → 名.txt"), "").unwrap();
    assert!(uploads.admits("sub/ü → 名.txt"));
}

#[test]
fn refuses_everything_else() {
    let uploads = uploads();
    let elsewhere = uploads.root.join("12/a.txt");
    for path in [
        "",
        ".",
        "/",
        "..",
        "sub",
        "missing",
        "a.txt/",
        "a.txt/x",
        "../12/a.txt",
        "../secret",
        "/etc/hostname",
        "a.txt\0",
        "a.txt\n",
        "file:a.txt",
        "~/a.txt",
        elsewhere.to_str().unwrap(),
        uploads.own.to_str().unwrap(),
    ] {
        assert!(!uploads.admits(path), "{path:?}");
    }
    let good = uploads.own.join("a.txt");
    let fault = uploads.check(&[&good, &good, &elsewhere, Path::new("missing")]);
    assert_eq!(
        fault,
        Err("File 3 is not an upload of this session.".into())
    );
    assert_eq!(
        FileFault::NotAnUpload { number: 1 }.code(),
        ErrorCode::InvalidFile
    );
}

#[cfg(unix)]
#[test]
fn resolves_symbolic_links_and_refuses_what_is_no_regular_file() {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    let uploads = uploads();
    let links = [
        ("out", "../secret"),
        ("out-dir", "../12"),
        ("in", "a.txt"),
        ("loop", "loop"),
        ("root", "/"),
    ];
    for (link, target) in links {
        symlink(target, uploads.own.join(link)).unwrap();
    }
    let _socket = UnixListener::bind(uploads.own.join("socket")).unwrap();
    for path in [
        "out",
        "out-dir",
        "out-dir/a.txt",
        "loop",
        "root",
        "root/etc/hostname",
        "socket",
    ] {
        assert!(!uploads.admits(path), "{path}");
    }
    let resolved = uploads.own.join("a.txt").to_str().unwrap().to_owned();
    assert_eq!(
        uploads.check(&[Path::new("in")]),
        Ok(vec![resolved.clone()])
    );

    // The folder may be reached by a link itself.
    symlink(&uploads.own, uploads.root.join("alias")).unwrap();
    let alias = uploads.root.join("alias");
    let passed = check_files(&[file("n", alias.join("a.txt"))], &alias, &Disk).unwrap();
    assert_eq!(passed[0].path, resolved);
}

#[test]
fn a_session_without_a_folder_has_no_uploads() {
    let uploads = uploads();
    let none = uploads.root.join("13");
    assert_eq!(check_files(&[], &none, &Disk), Ok(Vec::new()));
    let fault = FileFault::NotAnUpload { number: 1 };
    assert_eq!(
        check_files(&[file("n", "../1/a.txt")], &none, &Disk),
        Err(fault)
    );
}

#[test]
fn names_lose_control_characters() {
    let uploads = uploads();
    let name = "a\r\n\0b\u{1b}[1m\u{7f}\u{85} ü → 名 🚂\t.txt";
    let passed = check_files(&[file(name, "a.txt")], &uploads.own, &Disk).unwrap();
    assert_eq!(passed[0].name, "ab[1m ü → 名 🚂.txt");
}

/// A file system in memory: paths lead to where they resolve; regular files are named.
struct Fake {
    leads: HashMap<PathBuf, PathBuf>,
    regular: Vec<PathBuf>,
}

impl Resolve for Fake {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.leads
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_file(&self, path: &Path) -> bool {
        self.regular.iter().any(|file| file == path)
    }
}

fn any_path() -> impl Strategy<Value = String> {
    "(/|/up|/up/1|/up/12|up/1)(/(a|b|\\.\\.|1)){0,2}"
}

proptest! {
    #[test]
    fn only_regular_files_inside_the_folder_pass(
        leads in prop::collection::hash_map(any_path(), any_path(), 0..40),
        regular in prop::collection::vec(any_path(), 0..20),
        files in prop::collection::vec((any::<String>(), any_path()), 0..4),
    ) {
        let folder = Path::new("/up/1");
        let path = |(from, to): (String, String)| (PathBuf::from(from), PathBuf::from(to));
        let mut disk = Fake { leads: leads.into_iter().map(path).collect(), regular: regular.into_iter().map(PathBuf::from).collect() };
        disk.leads.insert(folder.into(), folder.into());
        let files: Vec<_> = files.into_iter().map(|(name, path)| FileRef { name, path }).collect();
        match check_files(&files, folder, &disk) {
            Ok(passed) => {
                prop_assert_eq!(passed.len(), files.len());
                for (passed, file) in passed.iter().zip(&files) {
                    prop_assert!(passed.path.starts_with("/up/1/"));
                    prop_assert!(disk.is_file(Path::new(&passed.path)));
                    prop_assert_eq!(disk.resolve(&folder.join(&file.path)).unwrap(), Path::new(&passed.path));
                    prop_assert!(!passed.name.contains(char::is_control));
                    prop_assert!(passed.name.len() <= file.name.len());
                }
            }
            Err(FileFault::NotAnUpload { number }) => prop_assert!((1..=files.len()).contains(&number)),
        }
    }

    #[test]
    fn any_path_gets_an_answer_on_a_real_disk(path in any::<String>()) {
        let uploads = uploads();
        // Nothing but the one file is there to be found.
        prop_assert!(!uploads.admits(&path));
    }
}
