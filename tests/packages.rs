//! The packages that the library is made of: few, of licences that it may be shipped under, old
//! enough for the Rust that we promise, and each one that we chose with its reason on paper.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The most crates that may be linked into the library, our own included.
const CRATES_MAX: usize = 25;

/// The Rust that builds the library and its tests: major and minor.
const RUST_MAX: (u32, u32) = (1, 85);

/// The licences that may be linked into a library under LGPL-2.1-or-later and leave it usable
/// under version 2.1. Apache-2.0 alone is not among them, for only version 3 goes with it.
const LICENCES: [&str; 11] = [
    "0BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "LGPL-2.1-or-later",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[test]
fn each_crate_in_the_library_has_a_licence_that_goes_with_ours() {
    let metadata = metadata();
    for package in run_time_packages(&metadata) {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(
            allowed(licence),
            "{} is under {licence:?}; tests/packages.rs lists what may be linked in",
            package["name"]
        );
    }
}

#[test]
fn each_package_is_of_a_registry_and_is_what_it_was() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read_to_string(root.join("Cargo.lock")).expect("it is committed");
    let packages: Vec<&str> = lock.split("[[package]]").skip(1).collect();
    assert!(packages.len() > 5, "this is no Cargo.lock: {lock}");
    for package in packages {
        let value = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.strip_prefix(" = \"")?.strip_suffix('"')).unwrap_or_default()
        };
        // Ours is the one that comes from here.
        let ours = value("name") == env!("CARGO_PKG_NAME") && value("source").is_empty();
        let pinned = value("source").starts_with("registry+") && value("checksum").len() == 64;
        assert!(ours || pinned, "neither of a registry nor with a checksum: {package}");
    }
}

#[test]
fn the_library_is_made_of_few_crates() {
    let metadata = metadata();
    let names: Vec<_> =
        run_time_packages(&metadata).iter().map(|package| text(package, "name")).collect();
    println!("{} run-time crates: {}", names.len(), names.join(" "));
    assert!(
        names.len() <= CRATES_MAX,
        "{} crates are linked in, where {CRATES_MAX} are allowed: {names:?}",
        names.len()
    );
}

#[test]
fn no_package_needs_a_newer_rust_than_we_promise() {
    for package in list(&metadata(), "packages") {
        let Some(rust) = package["rust_version"].as_str() else { continue };
        let mut numbers = rust.split('.').map(|number| number.parse().expect("a Rust version"));
        let wanted = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        assert!(
            wanted <= RUST_MAX,
            "{} {} needs Rust {rust}: choose a version of it that is content with {}.{}",
            package["name"],
            package["version"],
            RUST_MAX.0,
            RUST_MAX.1
        );
    }
}

#[test]
fn each_package_that_we_chose_has_its_reason_on_paper() {
    let metadata = metadata();
    let root = package(&metadata, text(&metadata["resolve"], "root"));
    let chosen: BTreeSet<&str> =
        list(root, "dependencies").iter().map(|dependency| text(dependency, "name")).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/dependencies.md");
    let paper =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let explained: BTreeSet<&str> = paper
        .lines()
        .filter_map(|line| Some(line.strip_prefix("- `")?.split_once('`')?.0))
        .collect();
    let unexplained: Vec<_> = chosen.difference(&explained).collect();
    assert!(
        unexplained.is_empty(),
        "docs/dependencies.md has no line \"- `NAME`\" for these: {unexplained:?}"
    );
    let unused: Vec<_> = explained.difference(&chosen).collect();
    assert!(
        unused.is_empty(),
        "docs/dependencies.md explains these, which Cargo.toml does not ask for: {unused:?}"
    );
}

#[test]
fn a_licence_is_allowed_if_one_of_its_choices_is() {
    for licence in ["MIT", "Apache-2.0 OR MIT", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Zlib"] {
        assert!(allowed(licence), "{licence}");
    }
    for licence in ["", "Apache-2.0", "MIT AND GPL-3.0-only", "MIT AND (Apache-2.0 OR MPL-2.0)"] {
        assert!(!allowed(licence), "{licence}");
    }
    // AND binds more tightly than OR.
    assert!(allowed("MIT OR Apache-2.0 AND GPL-3.0-only"));
    assert!(!allowed("Apache-2.0 WITH LLVM-exception"));
}

/// Whether an SPDX expression leaves a choice of allowed licences alone. An exception (WITH) is
/// not read: what it is added to is allowed by no more than its full name.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    either(&mut rest) && rest.is_empty()
}

fn either(words: &mut &[&str]) -> bool {
    let mut value = both(words);
    while take(words, "OR") {
        value |= both(words);
    }
    value
}

fn both(words: &mut &[&str]) -> bool {
    let mut value = one(words);
    while take(words, "AND") {
        value &= one(words);
    }
    value
}

fn one(words: &mut &[&str]) -> bool {
    if take(words, "(") {
        return either(words) & take(words, ")");
    }
    let Some((licence, rest)) = words.split_first() else { return false };
    *words = rest;
    if take(words, "WITH") {
        *words = words.get(1..).unwrap_or_default();
        return false;
    }
    LICENCES.contains(licence)
}

fn take(words: &mut &[&str], word: &str) -> bool {
    let taken = words.first() == Some(&word);
    if taken {
        *words = &words[1..];
    }
    taken
}

/// What is linked into the library for Linux, with the features that are on by default: what can
/// be reached from our own package by normal dependencies alone.
fn run_time_packages(metadata: &Value) -> Vec<&Value> {
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"], "nodes").iter().map(|node| (text(node, "id"), node)).collect();
    let mut reached = BTreeSet::new();
    let mut ahead = vec![text(&metadata["resolve"], "root")];
    while let Some(id) = ahead.pop() {
        if !reached.insert(id) {
            continue;
        }
        for dependency in list(nodes[id], "deps") {
            // A kind is null, "build" or "dev".
            if list(dependency, "dep_kinds").iter().any(|kind| kind["kind"].is_null()) {
                ahead.push(text(dependency, "pkg"));
            }
        }
    }
    reached.into_iter().map(|id| package(metadata, id)).collect()
}

fn package<'a>(metadata: &'a Value, id: &str) -> &'a Value {
    let mut packages = list(metadata, "packages").iter();
    packages.find(|package| package["id"] == id).expect("cargo describes each package")
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().unwrap_or_else(|| panic!("cargo metadata gave no list {member}"))
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("cargo metadata gave no text {member}"))
}

/// Asks cargo without the network: whatever these tests were built from is here already.
fn metadata() -> Value {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs, as it did to build this test");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata failed: {errors}");
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}
