//! The published schemas of the JSON that crosses the boundary, in `docs/schema/abi`, are those of the types.

use std::collections::BTreeSet;
use std::path::Path;

use plugin_api::wire;

#[test]
fn the_published_schemas_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/abi");
    let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
    if update {
        std::fs::create_dir_all(&folder).unwrap();
    }
    let mut stale = Vec::new();
    let mut names = BTreeSet::new();
    for (name, schema) in wire::schemas() {
        let file = folder.join(name).with_extension("json");
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        names.insert(file.clone());
        if update {
            std::fs::write(&file, text).unwrap();
        } else if std::fs::read_to_string(&file).ok().as_deref() != Some(text.as_str()) {
            stale.push(file.display().to_string());
        }
    }
    for entry in std::fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        if !names.contains(&file) {
            stale.push(format!("{} (of no type any more)", file.display()));
        }
    }
    assert!(
        stale.is_empty(),
        "not what the types say: {}\nUPDATE_SCHEMAS=1 cargo test -p roundhouse-plugin-api --test schemas",
        stale.join(", ")
    );
}
