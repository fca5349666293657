//! Puts the layers together (defaults, file, environment, flags), each later one over those before; what the values must be is not asked here.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::environment::{self, Override};
use super::lines::Lines;
use super::shape::{Shape, dotted};
use super::{Config, Origins, WatchedFiles, decode};
use crate::setting::Fault;

/// Read when no file is named and it is there.
const DEFAULT_FILE: &str = "config.toml";

/// Where settings come from besides their defaults. Not `Debug`: the environment holds secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file that was named; it must be there.
    pub file: Option<PathBuf>,
    /// All variables of the process; those that are no settings are passed over.
    pub environment: Vec<(OsString, OsString)>,
    pub flags: Vec<Flag>,
}

impl Sources {
    /// The file as it is now, to be looked at before it is read, so that no change is missed.
    #[must_use]
    pub fn watched(&self) -> WatchedFiles {
        WatchedFiles::new([self.file.clone().unwrap_or_else(|| DEFAULT_FILE.into())])
    }
}

/// A setting given on the command line.
#[derive(Clone)]
pub struct Flag {
    /// `--listen`
    pub name: &'static str,
    /// `server.listen`
    pub key: &'static str,
    pub value: String,
}

impl Flag {
    /// The flag if it was given.
    pub fn given(name: &'static str, key: &'static str, value: Option<&String>) -> Option<Self> {
        value.map(|value| Self { name, key, value: value.clone() })
    }
}

/// A configuration without a fault, and where each setting was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub origins: Origins,
}

/// A configuration as far as it can be read, and every fault found so far.
#[derive(Clone, Debug)]
pub struct Draft {
    config: Config,
    origins: Origins,
    faults: Vec<Fault>,
    /// False when the file could not be read at all, so that what it lacks says nothing.
    readable: bool,
}

impl Config {
    /// Reads and checks all settings; every fault at once, each with its key and place.
    pub fn load(sources: &Sources) -> Result<Loaded, Vec<Fault>> {
        Draft::read(sources).finish()
    }
}

impl Draft {
    /// Reads all layers and checks every value by itself; never fails, see [`Draft::finish`].
    #[must_use]
    pub fn read(sources: &Sources) -> Self {
        Self::compose(read_file(sources.file.as_ref()), &sources.environment, &sources.flags)
    }

    fn compose(file: Result<Option<File>, Fault>, environment: &[(OsString, OsString)], flags: &[Flag]) -> Self {
        let shape = Shape::new();
        let mut faults = Vec::new();
        let file = file.and_then(|file| file.map(|file| Ok((parse(&file)?, file))).transpose());
        let readable = file.is_ok();
        let mut layers = Layers::default();
        match file {
            Ok(Some((settings, file))) => layers.file(file, settings),
            Ok(None) => {}
            Err(fault) => faults.push(fault),
        }
        let mut overrides = environment::overrides(&shape, environment, &mut faults);
        for flag in flags {
            match environment::flag(&shape, flag.name, flag.key, &flag.value) {
                Ok(setting) => overrides.push(setting),
                Err(fault) => faults.push(fault),
            }
        }
        for setting in overrides {
            layers.set(&shape, setting).unwrap_or_else(|fault| faults.push(fault));
        }
        let Layers { figment, origins } = layers;
        let config = decode::decode(&shape, merged(&figment), &mut faults);
        let faults = faults.into_iter().map(|fault| origins.locate(fault)).collect();
        let mut draft = Self { config, origins, faults, readable };
        draft.report(draft.config.validate());
        draft
    }

    /// The configuration so far, defaults standing in for what could not be read.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Adds what a later look found, except at keys that are faulty already: there it looked at a stand-in.
    pub fn report(&mut self, faults: Vec<Fault>) {
        if !self.readable {
            return;
        }
        let seen = self.faults.len();
        for fault in faults {
            let follows = |earlier: &Fault| {
                fault.key.strip_prefix(&earlier.key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            if !self.faults[..seen].iter().any(follows) {
                self.faults.push(self.origins.locate(fault));
            }
        }
    }

    /// The configuration, or all its faults.
    pub fn finish(self) -> Result<Loaded, Vec<Fault>> {
        if self.faults.is_empty() {
            Ok(Loaded { config: self.config, origins: self.origins })
        } else {
            Err(self.faults)
        }
    }
}

struct File {
    name: String,
    text: String,
}

fn read_file(named: Option<&PathBuf>) -> Result<Option<File>, Fault> {
    let path = named.cloned().unwrap_or_else(|| DEFAULT_FILE.into());
    let name = path.display().to_string();
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(File { name, text })),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::new(name, format!("cannot be read: {error}"))),
    }
}

/// The tables of the file. A fault has the parser's words and the line's number but not the line, which may hold a secret.
fn parse(file: &File) -> Result<Dict, Fault> {
    Toml::from_str::<Dict>(&file.text).map_err(|error| {
        let before = error.span().and_then(|span| file.text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Fault::new(&file.name, format!("line {line}: {}", error.message().replace('\n', ", ")))
    })
}

/// The file's and the overrides' values, the defaults not among them: secrets do not serialize, and serde fills them in.
#[derive(Default)]
struct Layers {
    figment: Figment,
    origins: Origins,
}

impl Layers {
    fn file(&mut self, file: File, settings: Dict) {
        self.origins.record_file(&file.name, &Value::from(settings.clone()), Lines::read(&file.text));
        self.merge(Layer { name: file.name, settings });
    }

    /// Puts one setting over what is there. An index changes one element, or appends the next.
    fn set(&mut self, shape: &Shape, setting: Override) -> Result<(), Fault> {
        let Override { place, path, value } = setting;
        let index = path.iter().enumerate().find_map(|(at, segment)| Some((at, segment.parse::<usize>().ok()?)));
        let nested = match index {
            None => nest(&path, value.clone()),
            Some((at, index)) => {
                let (list, below) = (&path[..at], &path[at + 1..]);
                let mut items = self.tables(shape, list);
                if index > items.len() {
                    let problem = format!("there is no {} before it", dotted(list) + "." + &items.len().to_string());
                    return Err(Fault::new(dotted(&path), problem).written_in(place));
                }
                if index == items.len() {
                    items.push(Value::from(Dict::new()));
                    self.origins.record(&path[..=at], &items[index], &place);
                }
                let element = items[index].clone().into_dict().unwrap_or_default();
                items[index] = overlay(element, below, value.clone());
                nest(list, Value::Array(Tag::Default, items))
            }
        };
        self.origins.record(&path, &value, &place);
        self.merge(Layer { name: place, settings: nested.into_dict().unwrap_or_default() });
        Ok(())
    }

    /// The elements of an array of tables so far, defaults included.
    fn tables(&self, shape: &Shape, list: &[String]) -> Vec<Value> {
        let default = || shape.default_at(list).and_then(|value| Value::serialize(value).ok());
        let written = merged(&self.figment).find(&list.join("."));
        written.or_else(default).and_then(Value::into_array).unwrap_or_default()
    }

    fn merge(&mut self, layer: Layer) {
        self.figment = std::mem::take(&mut self.figment).merge(layer);
    }
}

fn merged(figment: &Figment) -> Value {
    figment.find_value("").unwrap_or_else(|_| Value::from(Dict::new()))
}

fn nest(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |value, segment| {
        let mut around = Dict::new();
        around.insert(segment.clone(), value);
        Value::from(around)
    })
}

/// One element with a key replaced; the element itself when `below` is empty. Arrays of tables hold no further tables.
fn overlay(mut element: Dict, below: &[String], value: Value) -> Value {
    match below.split_first() {
        None => value,
        Some((name, rest)) => {
            element.insert(name.clone(), nest(rest, value));
            Value::from(element)
        }
    }
}

struct Layer {
    name: String,
    settings: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok([(Profile::Default, self.settings.clone())].into())
    }
}

#[cfg(test)]
mod tests;
