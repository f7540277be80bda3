//! The shared object seen from outside: it exports what the header and blockjob.map name and
//! nothing else, and it carries what a system library needs. The tools are those of binutils,
//! with which the library is built.

#[path = "qemu/library.rs"]
mod library;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The most that the stripped library may take on disk, in bytes: it must not creep. 700,000 is the
/// goal.
const SIZE_MAX: u64 = 1_190_000;
/// The same of a Rust before 1.90, such as Debian 13's: its std takes more.
const SIZE_MAX_OLDER: u64 = 1_300_000;
const OLDER: u32 = 90;

#[test]
fn the_header_the_map_and_the_library_name_the_same_functions() {
    let header = functions_of_header(&read("include/blockjob.h"));
    let map: BTreeSet<String> = versions_of_map(&read("blockjob.map")).into_keys().collect();
    let library: BTreeSet<String> = exports().into_keys().collect();
    assert!(!header.is_empty(), "no function was found in include/blockjob.h");
    let header = ("include/blockjob.h", &header);
    let map = ("blockjob.map", &map);
    let library = ("libblockjob.so", &library);
    let mut differences = Vec::new();
    for (has, lacks) in [(header, map), (map, header), (map, library), (library, map)] {
        for function in has.1.difference(lacks.1) {
            differences.push(format!("{function} is in {} but not in {}", has.0, lacks.0));
        }
    }
    assert!(
        differences.is_empty(),
        "{}\n(`make header` writes the header from src/capi; blockjob.map is edited by hand; \
         `make lib` links by it)",
        differences.join("\n")
    );
}

/// A promise to C that no C program asks for is none.
#[test]
fn each_function_is_called_by_a_c_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("c-tests");
    let files = fs::read_dir(folder).expect("c-tests").map(|entry| entry.expect("an entry").path());
    let sources = files.filter(|path| {
        path.extension().is_some_and(|ending| ["c", "cc", "h"].iter().any(|it| ending == *it))
    });
    let called: BTreeSet<String> = sources
        .map(|path| fs::read_to_string(path).expect("UTF-8"))
        .flat_map(|source| functions_called(&source))
        .collect();
    let functions = functions_of_header(&read("include/blockjob.h"));
    let never: Vec<_> = functions.difference(&called).collect();
    assert!(never.is_empty(), "no program of c-tests calls {never:?}");
    println!("{} functions, each is called", functions.len());
}

/// Whoever adds one says what it gives for a handle of before the fork.
#[test]
fn each_function_of_a_handle_is_called_in_a_forked_child() {
    let called = functions_called(&read("c-tests/test_each_call_in_a_forked_child_is_refused.c"));
    let called: BTreeSet<String> = called.into_iter().collect();
    let map: BTreeSet<String> = versions_of_map(&read("blockjob.map")).into_keys().collect();
    let missing: Vec<_> = map.difference(&called).filter(|name| *name != MAKES).collect();
    assert!(missing.is_empty(), "no child of that test calls {missing:?}");
}

/// It takes no handle: the child may have its own.
const MAKES: &str = "blockjob_listener_new";

#[test]
fn a_call_is_told_from_a_mention() {
    let source = "/* blockjob_in_comment(\"); */ f('\"', blockjob_one(a, blockjob_two ()), \
                  \"x\\\"//blockjob_in_text()\", blockjob_as_pointer); // blockjob_in_line()
                  #define x blockjob_three(y)";
    let expected = ["blockjob_one", "blockjob_three", "blockjob_two"].map(String::from);
    assert_eq!(functions_called(source), BTreeSet::from(expected));
}

#[test]
fn every_symbol_has_the_version_it_was_released_with() {
    let exports = exports();
    for (function, version) in versions_of_map(&read("blockjob.map")) {
        assert_eq!(
            exports.get(&function),
            Some(&version),
            "{function} should be exported (left) with the version of blockjob.map (right)"
        );
    }
}

#[test]
fn the_library_is_found_and_loaded_as_a_system_library() {
    let dynamic = run("readelf", &["--dynamic", "--wide"], &library::path());
    let entries = |tag: &str| -> Vec<&str> {
        let tag = format!("({tag})");
        dynamic.lines().filter_map(|line| Some(line.split_once(&tag)?.1.trim())).collect()
    };

    assert_eq!(entries("SONAME"), ["Library soname: [libblockjob.so.0]"]);
    let flags = entries("FLAGS_1").join(" ");
    assert!(flags.contains("NODELETE"), "dlclose would unmap the running threads: {flags:?}");
    assert!(flags.contains("NOW"), "-z now is missing: {flags:?}");
    assert!(entries("FLAGS").contains(&"BIND_NOW"), "-z now is missing:\n{dynamic}");
    for needed in entries("NEEDED") {
        let name = needed.trim_start_matches("Shared library: [").trim_end_matches(']');
        assert!(
            ["libc.so.6", "libgcc_s.so.1"].contains(&name) || name.starts_with("ld-linux"),
            "a program that links the library would have to install {name} as well"
        );
    }
    let segments = run("readelf", &["--segments", "--wide"], &library::path());
    assert!(segments.contains("GNU_RELRO"), "-z relro is missing:\n{segments}");
}

#[test]
fn the_link_of_the_soname_stands_beside_the_library() {
    let library = library::path();
    let link = library.with_file_name("libblockjob.so.0");
    let target = fs::canonicalize(&link).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; programs load the library by this name: run `make lib`",
            link.display()
        )
    });
    assert_eq!(target, fs::canonicalize(&library).expect("the library is there"));
}

#[test]
fn the_stripped_library_is_small() {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let stripped = directory.path().join("libblockjob.so");
    fs::copy(library::path(), &stripped).expect("the library is readable");
    run("strip", &["--strip-unneeded"], &stripped);
    let size = fs::metadata(&stripped).expect("it was copied").len();
    let max = if made_by(&library::path()) < OLDER { SIZE_MAX_OLDER } else { SIZE_MAX };
    assert!(size <= max, "{size} bytes stripped, where {max} are allowed");
    println!("{size} bytes stripped, of {max} allowed");
}

/// The Rust 1.N that made a library.
fn made_by(library: &Path) -> u32 {
    let comment = run("readelf", &["-p", ".comment"], library);
    let (_, version) = comment.split_once("rustc version 1.").expect("rustc leaves its name");
    version.split('.').next().and_then(|minor| minor.parse().ok()).expect("a number")
}

#[test]
fn each_function_of_the_map_has_the_version_of_its_node() {
    let map = "
        /* blockjob_in_comment; */
        BLOCKJOB_0.1 { global: blockjob_one; local: *; };
        BLOCKJOB_0.2 { global: blockjob_two; } BLOCKJOB_0.1;";
    let expected = [("blockjob_one", "BLOCKJOB_0.1"), ("blockjob_two", "BLOCKJOB_0.2")];
    let expected = expected.map(|(name, version)| (name.to_owned(), version.to_owned()));
    assert_eq!(versions_of_map(map), BTreeMap::from(expected));
}

#[test]
fn functions_are_told_from_types_macros_and_comments() {
    let header = "
        /* blockjob_in_comment(a); */ // blockjob_in_line(b);
        #define blockjob_macro(a) \\
            blockjob_in_macro(a)
        typedef void (*blockjob_event_fn)(blockjob_event *event);
        int64_t blockjob_one(blockjob_event_fn function,
                             int a);
        const char *blockjob_two(void) BLOCKJOB_SINCE(0, 1);";
    let expected = ["blockjob_one", "blockjob_two"].map(String::from);
    assert_eq!(functions_of_header(header), BTreeSet::from(expected));
}

/// The names that stand before a parenthesis, once comments and the preprocessor's lines are gone.
fn functions_of_header(header: &str) -> BTreeSet<String> {
    let code = without_comments(header).replace("\\\n", " ");
    let lines = code.lines().filter(|line| !line.trim_start().starts_with('#'));
    let code = lines.collect::<Vec<_>>().join("\n");
    // What follows the last parenthesis is no parameter list.
    let before_parentheses = code.split('(').rev().skip(1);
    before_parentheses
        .filter_map(|text| text.split(|c| !is_of_name(c)).next_back())
        .filter(|name| name.starts_with("blockjob_"))
        .map(String::from)
        .collect()
}

/// The library's names that stand before a parenthesis, outside of comments and texts.
fn functions_called(source: &str) -> BTreeSet<String> {
    let code = without_texts(source);
    let before_parentheses = code.split('(').rev().skip(1);
    before_parentheses
        .filter_map(|text| text.trim_end().split(|c| !is_of_name(c)).next_back())
        .filter(|name| name.starts_with("blockjob_"))
        .map(String::from)
        .collect()
}

/// What is left of C when comments, strings and characters are gone, each of which may hold what
/// looks like another.
fn without_texts(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '"' | '\'' => {
                let mut escaped = false;
                let ends = |c: char| {
                    let ends = c == first && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                };
                rest[1..].find(ends).map_or(rest.len(), |at| at + 2)
            }
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            _ => {
                code.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[skipped..];
    }
    code
}

/// Each function with the node that it stands in: `NODE { global: function; ... } PARENT;`.
fn versions_of_map(map: &str) -> BTreeMap<String, String> {
    let code = without_comments(map);
    let nodes = code.split('}').filter_map(|node| node.split_once('{'));
    nodes
        .flat_map(|(before, body)| {
            let version = before.split_whitespace().next_back().expect("a node has a name");
            body.split(|c| !is_of_name(c))
                .filter(|name| name.starts_with("blockjob_"))
                .map(|name| (name.to_owned(), version.to_owned()))
        })
        .collect()
}

fn without_comments(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*").into_iter().chain(rest.find("//")).min() {
        code.push_str(&rest[..start]);
        let end = if rest[start..].starts_with("/*") { "*/" } else { "\n" };
        rest = rest[start + 2..].split_once(end).map_or("", |(_, after)| after);
        code.push(if end == "\n" { '\n' } else { ' ' });
    }
    code + rest
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Every symbol that the library defines for others, with its version. After the tab, a line of
/// objdump has size, version (in parentheses if it is not the default) and name.
fn exports() -> BTreeMap<String, String> {
    let symbols = run("objdump", &["--dynamic-syms"], &library::path());
    symbols
        .lines()
        .filter_map(|line| line.split_once('\t'))
        // Those that it wants of others, and the nodes of the map themselves.
        .filter(|(before, _)| !before.ends_with("*UND*") && !before.ends_with("*ABS*"))
        .map(|(_, after)| match after.split_whitespace().collect::<Vec<_>>()[..] {
            [_size, version, name] => (name.to_owned(), version.to_owned()),
            [_size, name] => (name.to_owned(), String::new()),
            _ => panic!("objdump wrote {after:?} of a symbol"),
        })
        .collect()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn run(program: &str, options: &[&str], file: &Path) -> String {
    let mut command = Command::new(program);
    command.args(options).arg(file).env("LC_ALL", "C");
    let output = command.output().unwrap_or_else(|error| {
        panic!("{program}: {error}; it is of binutils (Debian: apt-get install binutils)")
    });
    assert!(output.status.success(), "{command:?} failed: {output:?}");
    String::from_utf8(output.stdout).expect("binutils write ASCII")
}
