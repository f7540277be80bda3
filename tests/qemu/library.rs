//! Where the shared object under test is. The tests never build it: they take what `make lib`
//! built, so that they try the very file that is shipped.

use std::env;
use std::path::{Path, PathBuf};

/// The shared object: the one that `BLOCKJOB_LIBRARY` names, or that of this tree's release build.
pub fn path() -> PathBuf {
    if let Some(named) = env::var_os("BLOCKJOB_LIBRARY") {
        let named = PathBuf::from(named);
        assert!(
            named.is_file(),
            "BLOCKJOB_LIBRARY names {}, which is no file: name a libblockjob.so, or unset it",
            named.display()
        );
        return named;
    }
    // Cargo makes this directory inside the target directory, wherever that was asked to be.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it has a parent");
    let built = target.join("release/libblockjob.so");
    assert!(built.is_file(), "{} is missing: run `make lib`", built.display());
    built
}
