//! Makes folders, and finishes them: permissions and times come last, since what is put into a folder changes its time
//! and needs to be allowed.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use filetime::FileTime;

use crate::copy::sync_folder;
use crate::list::Problem;
use crate::paths::FilePath;
use crate::workflow::Plan;

/// The owner may do everything until the folder is finished.
const OWNER: u32 = 0o700;

/// Makes `folders` in DEST, each before what is in it; hands on those that cannot be made.
pub fn make(plan: &Plan, folders: &[FilePath]) -> Vec<Problem> {
    each(plan, folders.iter(), "this folder cannot be made", |like, to| {
        match fs::symlink_metadata(to) {
            Ok(there) if there.is_dir() => {
                if there.mode() & OWNER != OWNER {
                    fs::set_permissions(to, Permissions::from_mode(there.mode() & 0o7777 | OWNER))?;
                }
                return Ok(());
            }
            Ok(_) => return Err(io::Error::other("DEST has something else of that name; move it away")),
            Err(_) => DirBuilder::new().mode(like.mode() & 0o777 | OWNER).create(to)?,
        }
        sync_folder(to.parent().unwrap_or(to))
    })
}

/// Gives `folders` in DEST the permissions and times they have in SOURCE, the innermost first.
pub fn finish(plan: &Plan, folders: &[FilePath]) -> Vec<Problem> {
    each(plan, folders.iter().rev(), "the permissions and time of this folder cannot be set", |like, to| {
        if !fs::symlink_metadata(to)?.is_dir() {
            return Err(io::Error::other("DEST has something else of that name; move it away"));
        }
        filetime::set_file_mtime(to, FileTime::from_last_modification_time(like))?;
        fs::set_permissions(to, Permissions::from_mode(like.mode() & 0o7777))
    })
}

fn each<'f>(
    plan: &Plan,
    folders: impl Iterator<Item = &'f FilePath>,
    what: &str,
    work: impl Fn(&Metadata, &Path) -> io::Result<()>,
) -> Vec<Problem> {
    let one = |path: &FilePath| {
        let like = fs::symlink_metadata(plan.source.as_path().join(path.as_path()))?;
        if !like.is_dir() {
            return Err(io::Error::other("it was a folder when it was listed, and is something else now"));
        }
        // Without the slash at the end, which would make the system follow a link of that name.
        let bytes = path.bytes().strip_suffix(b"/").unwrap_or(path.bytes());
        work(&like, &plan.dest.as_path().join(FilePath::of(bytes).as_path()))
    };
    folders
        .filter_map(|path| {
            let error = one(path).err()?;
            Some(Problem { path: path.clone(), what: format!("{what}: {error}") })
        })
        .collect()
}
