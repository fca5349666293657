//! Everything a child process has printed, kept as it comes.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The lines of a child's standard output and standard error, in the order of their arrival.
#[derive(Debug)]
pub struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Output {
    /// Takes over whichever of the child's two pipes are there.
    pub fn of(child: &mut Child) -> Self {
        let mut output = Self { lines: Arc::default(), readers: Vec::new() };
        if let Some(pipe) = child.stdout.take() {
            output.keep(pipe);
        }
        if let Some(pipe) = child.stderr.take() {
            output.keep(pipe);
        }
        output
    }

    fn keep(&mut self, pipe: impl Read + Send + 'static) {
        let lines = Arc::clone(&self.lines);
        self.readers.push(std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        }));
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every line, once the child and whoever inherited its pipes are gone.
    pub fn finish(&mut self) -> Vec<String> {
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader does not panic");
        }
        self.lines()
    }
}
