//! The house stands: imports never point upwards, `unsafe` stays in its rooms, and no room is too
//! large to find anything in.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A storey and those it may import besides itself.
const STOREYS: [(&str, &[&str]); 4] = [
    ("model", &[]),
    ("qmp", &["model"]),
    ("engine", &["qmp", "model"]),
    ("capi", &["engine", "model"]),
];

/// The files of the engine that stand on the kernel.
const UNSAFE: [&str; 7] = [
    "engine/descriptor.rs",
    "engine/fork.rs",
    "engine/process.rs",
    "engine/socket.rs",
    "engine/thread.rs",
    "engine/trace.rs",
    "engine/wake.rs",
];

/// What the storeys below the engine must not know of: clocks, sockets, threads and what they meet
/// by, chance, files. An `Arc` alone is a value.
const FORBIDDEN_BELOW: [&str; 14] = [
    "std::net",
    "std::os",
    "std::thread",
    "std::fs",
    "Mutex",
    "RwLock",
    "Condvar",
    "mpsc",
    "atomic",
    "std::process",
    "Instant",
    "SystemTime",
    "RandomState",
    "mio",
];

#[test]
fn imports_never_point_upwards() {
    for (storey, allowed) in STOREYS {
        for (path, text) in sources(storey) {
            for (other, _) in STOREYS.iter().filter(|(other, _)| *other != storey) {
                let imported = imports(&text, other);
                assert!(
                    allowed.contains(other) || imported.is_none(),
                    "{} imports {other} ({:?}), which stands above or beside it; DESIGN: {storey} \
                     may import {allowed:?}",
                    path.display(),
                    imported.unwrap_or_default()
                );
            }
        }
    }
}

#[test]
fn the_test_of_imports_sees_every_form_of_them() {
    for upward in [
        "use crate::engine::Monitor;",
        "use crate::{\n    engine::{Monitor, Report},\n    model::Event,\n};",
        "fn f() { crate::engine::inside::enter(); }",
        "use super::super::engine::Monitor;",
    ] {
        assert!(imports(upward, "engine").is_some(), "{upward}");
    }
    assert!(imports("use crate::model::Event; // the engine:: does", "engine").is_none());
}

#[test]
fn the_protocol_has_no_socket_clock_or_thread() {
    for (path, text) in ["model", "qmp"].into_iter().flat_map(sources) {
        for name in FORBIDDEN_BELOW {
            let found = code(&text).find(|line| has_word(line, name));
            assert_eq!(found, None, "{} uses {name}", path.display());
        }
    }
}

#[test]
fn unsafe_stays_in_its_rooms() {
    for (path, text) in STOREYS.iter().flat_map(|(storey, _)| sources(storey)) {
        let free = path.starts_with("capi") || UNSAFE.iter().any(|room| path == Path::new(room));
        let forbids = text.contains("#![forbid(unsafe_code)]");
        let below = path.starts_with("model") || path.starts_with("qmp");
        let root = path.ends_with("mod.rs");
        assert!(
            free || forbids || below && !root || path == Path::new("engine/mod.rs"),
            "{} lacks #![forbid(unsafe_code)]",
            path.display()
        );
        let used = code(&text)
            .find(|line| has_word(line, "unsafe") || line.contains("allow(unsafe_code)"));
        assert!(free || used.is_none(), "{} has unsafe: {used:?}", path.display());
    }
}

#[test]
fn no_room_is_too_large() {
    for (path, text) in STOREYS.iter().flat_map(|(storey, _)| sources(storey)) {
        let lines = text.split("\n#[cfg(test)]").next().unwrap_or_default().lines().count();
        assert!(lines <= 420, "{} has {lines} lines: it is two rooms", path.display());
        let long = text.lines().find(|line| line.chars().count() > 100);
        assert_eq!(long, None, "{} has a line of over 100 columns", path.display());
    }
}

/// All sources of a storey, their paths from src.
fn sources(storey: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let entries = fs::read_dir(root.join(storey)).expect("a folder for each storey");
    let files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            assert!(path.is_file(), "{} is no file: teach this test folders", path.display());
            let text = fs::read_to_string(&path).expect("UTF-8");
            (path.strip_prefix(&root).expect("it is below").to_owned(), text)
        })
        .collect();
    assert!(!files.is_empty(), "{storey} has no files");
    files
}

/// How a source names another storey, if it does.
fn imports(text: &str, storey: &str) -> Option<String> {
    let code: String = code(text).flat_map(|line| [line, "\n"]).collect();
    for (at, _) in code.match_indices("crate::").chain(code.match_indices("super::super::")) {
        let path = &code[at..];
        let end = path.find(';').unwrap_or(path.len());
        let brace = path.starts_with("crate::{");
        let direct = path.split("::").find(|part| !["crate", "super"].contains(part))?;
        let found = if brace {
            path[..end].lines().any(|line| {
                line.trim_start_matches("crate::{").trim_start().starts_with(&format!("{storey}::"))
            })
        } else {
            direct == storey
        };
        if found {
            return Some(path[..end].chars().take(60).collect());
        }
    }
    None
}

/// The lines without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or_default())
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part))
}
