//! The committed header is what the sources say, and a C programmer can use it.

use std::{fs, path::Path, process::Command};

fn header() -> String {
    fs::read_to_string(path()).expect("include/blockjob.h")
}

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include/blockjob.h")
}

/// Needs the feature `header`, which brings the generator: `cargo test --features header`.
#[cfg(feature = "header")]
#[test]
fn the_committed_header_is_the_generated_one() {
    let generated = fs::read_to_string(concat!(env!("OUT_DIR"), "/blockjob.h")).expect("build.rs");
    let (committed, mut line) = (header(), 0);
    let differs = committed.lines().zip(generated.lines()).find(|(old, new)| {
        line += 1;
        old != new
    });
    assert!(
        committed == generated,
        "include/blockjob.h is stale (line {line}: {differs:?}): type `make header`, read what \
         changed, and commit it"
    );
}

/// The generator reads functions as they are written, and would leave out one that a macro makes.
#[test]
fn every_exported_function_is_written_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/capi");
    let sources = fs::read_dir(folder)
        .expect("src/capi")
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("UTF-8"));
    let header = header();
    for source in sources {
        let exported = source.matches("#[unsafe(no_mangle)]").count();
        let written: Vec<_> =
            source.split("extern \"C\" fn ").skip(1).map(|rest| rest.split('(').next()).collect();
        assert_eq!(exported, written.len(), "functions by name: {written:?}");
        for name in written.into_iter().flatten() {
            assert!(header.contains(&format!("{name}(")), "{name} is not in the header");
        }
    }
}

/// No test can show what comes of these: they are forbidden, so nothing is promised.
#[test]
fn it_says_what_a_callback_must_not_do() {
    let header = header().replace("\n * ", " ");
    let (before, _) = header.split_once("typedef void (*blockjob_event_fn)").expect("its type");
    let (_, manual) = before.rsplit_once("/**").expect("its manual");
    let forbidden = manual.split_once("must not").expect("what it must not do").1;
    for deed in ["throw", "longjmp", "pthread_exit", "be cancelled", "child of a fork()"] {
        assert!(forbidden.contains(deed), "nothing is said of {deed}: {forbidden}");
    }
}

#[test]
fn every_name_has_the_prefix_and_every_function_its_manual() {
    let header = header();
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define "));
    for name in defined {
        assert!(name.starts_with("BLOCKJOB_"), "{name} would clutter the program's names");
    }
    for named in header.lines().filter(|line| line.starts_with("typedef ")) {
        assert!(named.contains("blockjob_"), "{named} would clutter the program's names");
    }
    let (_, functions) = header.split_once("extern \"C\" {").expect("C++ finds its linkage");
    for manual in functions.split("/**").skip(1) {
        assert!(manual.contains("Threads: ") && manual.contains("Since: "), "incomplete: {manual}");
    }
}

#[test]
fn the_program_in_the_story_compiles_without_a_warning() {
    let header = header();
    let story = header.lines().map(|line| line.strip_prefix(" *").unwrap_or_default());
    assert_compiles(story.take_while(|line| !line.contains("$ cc")));
}

#[test]
fn the_program_in_the_readme_compiles_without_a_warning() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).expect("README.md");
    assert_compiles(readme.lines().take_while(|line| !line.contains("Give QEMU a monitor")));
}

/// Compiles what stands in these lines from `#include <blockjob.h>` on.
fn assert_compiles<'a>(lines: impl Iterator<Item = &'a str>) {
    let program: Vec<_> =
        lines.skip_while(|line| !line.ends_with("#include <blockjob.h>")).collect();
    let program = program.join("\n");
    assert!(program.contains("int main("), "there is no program: {program}");
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("program.c");
    fs::write(&source, program).expect("written");
    let compiled = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"])
        .arg(path().parent().expect("a folder"))
        .arg(&source)
        .output()
        .expect("a C compiler, cc");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}
