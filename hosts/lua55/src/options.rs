//! The command line of `lua`, read before any state exists. Knows no Lua API.

use std::ffi::CString;

/// What the command line asks for.
pub struct Options {
    /// Every word as given, the program's own name first; `arg` is made of it.
    pub words: Vec<CString>,
    /// Where the script stands in `words`; `words.len()` when there is none.
    pub script: usize,
    /// `-v`: print the version.
    pub version: bool,
    /// `-E`: ignore the environment.
    pub ignore_environment: bool,
    /// What to do before the script, in order.
    pub steps: Vec<Step>,
}

/// One `-e`, `-l` or `-W`.
pub enum Step {
    /// Run a statement.
    Execute(CString),
    /// Require a module and keep it in a global.
    Require { global: CString, module: CString },
    /// Turn warnings on.
    Warn,
}

impl Options {
    /// Reads the words of a command line; the error says which of them is wrong.
    pub fn read(words: Vec<CString>) -> Result<Self, CString> {
        let mut options = Options {
            script: words.len(),
            version: false,
            ignore_environment: false,
            steps: Vec::new(),
            words,
        };

        let mut at = 1;
        while let Some(word) = options.words.get(at) {
            match word.as_bytes() {
                b"--" => {
                    options.script = at + 1;
                    break;
                }
                b"-E" => options.ignore_environment = true,
                b"-v" => options.version = true,
                b"-W" => options.steps.push(Step::Warn),
                [b'-', kind @ (b'e' | b'l'), attached @ ..] => {
                    let (kind, mut value) = (*kind, attached.to_vec());
                    if value.is_empty() {
                        at += 1;
                        let next = options.words.get(at);
                        let missing = || c_string(format!("'-{}' needs argument", kind as char));
                        value = next.ok_or_else(missing)?.as_bytes().to_vec();
                    }
                    options.steps.push(Step::new(kind, value));
                }
                [b'-', _, ..] => {
                    let message = [b"unrecognized option '", word.as_bytes(), b"'"].concat();
                    return Err(c_string(message));
                }
                // A lone "-" is a script too: the standard input.
                _ => {
                    options.script = at;
                    break;
                }
            }
            at += 1;
        }
        Ok(options)
    }

    /// Whether nothing on the command line says what to do.
    pub fn is_idle(&self) -> bool {
        let acts = |step: &Step| matches!(step, Step::Execute(_));
        self.script >= self.words.len() && !self.version && !self.steps.iter().any(acts)
    }
}

impl Step {
    /// The step for `-e value` or `-l value`, where the latter is `[global=]module[-suffix]`.
    fn new(kind: u8, value: Vec<u8>) -> Self {
        if kind == b'e' {
            return Step::Execute(c_string(value));
        }
        let mut halves = value.splitn(2, |&byte| byte == b'=');
        let first = halves.next().unwrap_or_default();
        let (global, module) = match halves.next() {
            Some(module) => (first, module),
            None => (
                first.split(|&byte| byte == b'-').next().unwrap_or_default(),
                first,
            ),
        };
        Step::Require {
            global: c_string(global),
            module: c_string(module),
        }
    }
}

/// A C string of bytes that came from one.
fn c_string(bytes: impl Into<Vec<u8>>) -> CString {
    CString::new(bytes).expect("a word of a command line holds no NUL")
}
