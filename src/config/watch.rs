//! Whether files are as they were at the last look, by their contents; what is in them is not kept, since it may be secret.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

/// What is beyond is not looked at; no file of settings is nearly as long.
const LOOKED_AT: u64 = 8 << 20;

/// None for a file that cannot be read.
type Digest = Option<[u8; 32]>;

/// Files and what they were like. Contents are compared and not times: a mount of Kubernetes is a chain of links whose times
/// say little.
#[derive(Clone, Debug, Default)]
pub struct WatchedFiles(BTreeMap<PathBuf, Digest>);

impl WatchedFiles {
    /// Takes a first look.
    #[must_use]
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(files.into_iter().map(|path| (path.clone(), digest(&path))).collect())
    }

    /// Looks again; whether any file is not as it was at the look before. Blocks as long as reading the files does.
    pub fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, seen) in &mut self.0 {
            let found = digest(path);
            changed |= found != *seen;
            *seen = found;
        }
        changed
    }
}

fn digest(path: &Path) -> Digest {
    let mut file = File::open(path).ok()?.take(LOOKED_AT);
    let mut context = Context::new(&SHA256);
    let mut piece = [0; 8 << 10];
    loop {
        match file.read(&mut piece).ok()? {
            0 => return context.finish().as_ref().try_into().ok(),
            read => context.update(&piece[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_that_is_written_replaced_or_removed_is_seen_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let mut files = WatchedFiles::new([path.clone(), directory.path().join("not there")]);
        assert!(!files.changed());
        for text in [Some("one"), Some("two"), None, Some("two")] {
            match text {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            assert!(files.changed(), "{text:?}");
            assert!(!files.changed(), "{text:?}");
        }
        fs::write(&path, "two").unwrap();
        assert!(!files.changed(), "the same again is no change");
    }

    #[test]
    fn a_mount_of_kubernetes_whose_link_is_swapped_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (version, text) in [("v1", "one"), ("v2", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("config.toml"), text).unwrap();
        }
        symlink("v1", at("..data")).unwrap();
        symlink("..data/config.toml", at("config.toml")).unwrap();
        let mut files = WatchedFiles::new([at("config.toml")]);
        symlink("v2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(files.changed());
    }
}
