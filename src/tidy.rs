//! The rules of ARCHITECTURE.md that no compiler knows, as tests over the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file.
struct Source {
    /// Its path below `src`, with forward slashes.
    path: String,
    /// Its text, without the unit tests at its end.
    text: String,
    /// How many lines it has, tests and all.
    lines: usize,
}

/// Every Rust file below `src` but this one.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let below = |path: &Path| {
        path.strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap()
            .replace('\\', "/")
    };
    let read = |path: PathBuf| {
        let whole = fs::read_to_string(&path).unwrap();
        let text = whole
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default()
            .to_owned();
        Source {
            path: below(&path),
            lines: whole.lines().count(),
            text,
        }
    };
    let sources: Vec<Source> = files
        .into_iter()
        .map(read)
        .filter(|source| source.path != "tidy.rs")
        .collect();
    assert!(sources.len() > 20, "the sources have moved");
    sources
}

/// The Rust files below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The floor that a file belongs to.
fn floor(path: &str) -> &str {
    path.split_once('/')
        .map_or_else(|| path.trim_end_matches(".rs"), |(floor, _)| floor)
}

/// The code lines, without comments, that hold `word`, each as `path:line`.
fn uses<'a>(source: &'a Source, word: &'a str) -> impl Iterator<Item = String> + 'a {
    let code = source
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.filter(move |(_, line)| line.contains(word))
        .map(|(number, _)| format!("{}:{}", source.path, number + 1))
}

/// Fails with every place where a word stands outside of the files that may have it.
fn confined(words: &[&str], allowed: impl Fn(&str) -> bool) {
    let sources = sources();
    let strays: Vec<String> = sources
        .iter()
        .filter(|source| !allowed(&source.path))
        .flat_map(|source| words.iter().flat_map(|word| uses(source, word)))
        .collect();
    assert!(
        strays.is_empty(),
        "{words:?} stands where it may not: {strays:?}"
    );
}

#[test]
fn edges_go_downward_only() {
    let allowed = |floor: &str| -> &[&str] {
        match floor {
            "lib" => &["api", "vm", "sys"],
            "api" => &["api", "runtime", "vm", "sys", "error"],
            "runtime" => &["runtime", "sched", "vm", "sys", "error"],
            "vm" => &["vm", "error"],
            "sys" => &["sys"],
            "sched" => &["sched", "error"],
            _ => &[],
        }
    };
    for source in sources() {
        for target in ["api", "runtime", "vm", "sys", "sched", "error"] {
            if !allowed(floor(&source.path)).contains(&target) {
                let strays: Vec<String> = uses(&source, &format!("crate::{target}")).collect();
                assert!(
                    strays.is_empty(),
                    "this edge goes the wrong way: {strays:?} uses {target}"
                );
            }
        }
    }
}

#[test]
fn unsafe_code_lives_on_two_floors() {
    confined(
        &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"],
        |path| matches!(floor(path), "vm" | "sys"),
    );
}

#[test]
fn jumps_are_in_one_file() {
    confined(&["lua_error(", "luaL_error("], |path| path == "vm/entry.rs");
    // How a version yields is a difference between Luas.
    confined(&["lua_yield"], |path| {
        matches!(path, "vm/entry.rs" | "vm/compat.rs")
    });
}

#[test]
fn differences_between_luas_are_in_one_place() {
    confined(&["feature = \"lua"], |path| path.starts_with("vm/compat"));
}

#[test]
fn differences_between_systems_are_on_one_floor() {
    confined(&["target_os", "cfg(unix", "cfg(windows"], |path| {
        floor(path) == "sys"
    });
}

#[test]
fn only_one_floor_calls_the_lua_c_api() {
    confined(&["mlua::", " ffi::"], |path| floor(path) == "vm");
}

#[test]
fn every_file_opens_with_a_sentence_and_ends_before_it_is_long() {
    for source in sources() {
        let first = source.text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("//! ") && first.len() > 20,
            "{} opens without a sentence",
            source.path
        );
        assert!(
            source.lines <= 500,
            "{} has {} lines",
            source.path,
            source.lines
        );
    }
}
