//! What cargo does not do for a C library: its soname, its symbol versions and, when the feature
//! `header` asks for it, its header.

use std::{env, error::Error, fs, os::unix::fs::PermissionsExt, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        link()?;
    }
    #[cfg(feature = "header")]
    header::generate()?;
    Ok(())
}

/// rustc hands the linker a version script of its own, which names no version; lld would silently
/// ignore ours beside it and GNU ld refuses two. So a wrapper stands first in the C compiler's
/// search path for `ld.bfd` and drops every version script but ours. `BLOCKJOB_LD` names the linker
/// behind it where it is not `ld.bfd` (a cross build's).
fn link() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=blockjob.map");
    println!("cargo:rerun-if-env-changed=BLOCKJOB_LD");
    let root = env::var("CARGO_MANIFEST_DIR")?;
    let folder = Path::new(&env::var("OUT_DIR")?).join("ld");
    fs::create_dir_all(&folder)?;
    let wrapper = folder.join("ld.bfd");
    fs::write(&wrapper, LD_WRAPPER)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;

    let arg = |arg: &str| println!("cargo:rustc-cdylib-link-arg={arg}");
    arg("-Wl,-soname,libblockjob.so.0");
    // nodelete: dlclose() must not unmap the code that our threads run.
    arg("-Wl,-z,nodelete,-z,relro,-z,now");
    arg(&format!("-B{}", folder.display()));
    arg("-fuse-ld=bfd");
    arg(&format!("-Wl,--version-script={root}/blockjob.map"));
    Ok(())
}

const LD_WRAPPER: &str = r#"#!/bin/sh
for argument do
    shift
    case $argument in
        --version-script=*/blockjob.map) set -- "$@" "$argument" ;;
        --version-script=*) ;;
        *) set -- "$@" "$argument" ;;
    esac
done
exec "${BLOCKJOB_LD:-ld.bfd}" "$@"
"#;

/// The header, from the documentation and signatures in src/capi. It is compared with the committed
/// one by tests/header.rs, and written there only on request: `make header`.
#[cfg(feature = "header")]
mod header {
    use std::{env, error::Error, fs, path::Path};

    /// A chapter is a file of src/capi, in this order.
    const CHAPTERS: [&str; 15] = [
        "version", "error", "listener", "delivery", "monitor", "setting", "callback", "job",
        "control", "info", "event", "end", "command", "reply", "watching",
    ];

    pub fn generate() -> Result<(), Box<dyn Error>> {
        println!("cargo:rerun-if-changed=cbindgen.toml");
        println!("cargo:rerun-if-changed=src");
        println!("cargo:rerun-if-env-changed=BLOCKJOB_UPDATE_HEADER");
        let root = env::var("CARGO_MANIFEST_DIR")?;
        let root = Path::new(&root);
        let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
        let mut text = Vec::new();
        cbindgen::Builder::new().with_crate(root).with_config(config).generate()?.write(&mut text);
        let mut text = tidy(&String::from_utf8(text)?);
        for chapter in CHAPTERS {
            let source = fs::read_to_string(root.join(format!("src/capi/{chapter}.rs")))?;
            open_chapter(&mut text, &source).ok_or_else(|| format!("no chapter {chapter}"))?;
        }
        fs::write(Path::new(&env::var("OUT_DIR")?).join("blockjob.h"), &text)?;
        if env::var_os("BLOCKJOB_UPDATE_HEADER").is_some() {
            fs::write(root.join("include/blockjob.h"), &text)?;
        }
        Ok(())
    }

    /// Puts a file's opening comment, from its heading on, before its first function.
    fn open_chapter(header: &mut String, source: &str) -> Option<()> {
        let opening = source.lines().map_while(|line| line.strip_prefix("//!"));
        let mut lines = opening.skip_while(|line| !line.starts_with(" # "));
        let title = lines.next()?.strip_prefix(" # ")?;
        let mut chapter = format!("\n/* ---- {title} {}", "-".repeat(84 - title.len()));
        let text: Vec<String> = lines.map(|line| format!("\n *{line}")).collect();
        chapter += &text.concat();
        chapter += if text.is_empty() { " */\n" } else { "\n */\n" };

        let name = source.split("extern \"C\" fn ").nth(1)?.split('(').next()?;
        let call = format!("{name}(");
        let declaration =
            header.lines().find(|line| !line.starts_with(" *") && line.contains(&call))?;
        let at = header.find(&format!("\n{declaration}"))?;
        let manual = header[..at].rfind("\n/**")?;
        header.insert_str(manual, &chapter);
        Some(())
    }

    /// What a person would do to the generator's layout: a comment that fits stands on one line,
    /// and constants stand together until the next comment.
    fn tidy(text: &str) -> String {
        let lines: Vec<&str> = text.lines().collect();
        let mut tidied = Vec::new();
        let mut rest = lines.as_slice();
        while let [line, ..] = rest {
            let (read, kept) = match rest {
                ["/**", only, " */", ..] if only.len() <= 90 => {
                    (3, Some(format!("/**{} */", &only[2..])))
                }
                [one, "", two, ..] if [one, two].iter().all(|line| line.starts_with("#define")) => {
                    (2, Some((*one).to_owned()))
                }
                ["", "", ..] => (1, None),
                _ => (1, Some(without_line_comment(line))),
            };
            tidied.extend(kept);
            rest = &rest[read..];
        }
        tidied.join("\n") + "\n"
    }

    /// For compilers that are asked for C90.
    fn without_line_comment(line: &str) -> String {
        match line.split_once("// ") {
            Some((code, comment)) => format!("{code}/* {comment} */"),
            None => line.to_owned(),
        }
    }
}
