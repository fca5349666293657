//! The chart as the tests see it: rendered by the real helm into objects, which are found by kind and name.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize as _;
use serde_json::Value;

/// A helm that `go install` built knows no Kubernetes version of its own.
const KUBE_VERSION: &str = "1.34.0";

/// A file or folder of the repository.
pub fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

pub fn read(relative: &str) -> String {
    fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// Copies a folder with all that is below it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the temporary folder is writable");
    for entry in fs::read_dir(from).expect("a folder of the repository") {
        let entry = entry.expect("listed").path();
        let target = to.join(entry.file_name().expect("it has a name"));
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            fs::copy(&entry, &target).expect("the temporary folder is writable");
        }
    }
}

/// What a program that `tests/run` installs printed; a failure's reason in `Err`.
pub fn run(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String, String> {
    let Output { status, stdout, stderr } = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    let (out, problems) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.success() { Ok(out.into_owned()) } else { Err(format!("{out}{problems}")) }
}

/// Every `ci/*-values.yaml`.
pub fn ci_values() -> Vec<PathBuf> {
    let folder = fs::read_dir(path("helm/cottontail/ci")).expect("the chart has a folder `ci`");
    let mut files: Vec<_> = folder.map(|entry| entry.expect("listed").path()).collect();
    files.sort();
    files
}

/// The values file `ci/{name}-values.yaml`.
pub fn ci(name: &str) -> PathBuf {
    path(&format!("helm/cottontail/ci/{name}-values.yaml"))
}

pub fn lint(values: &Path) -> Result<String, String> {
    let chart = path("helm/cottontail");
    let [chart, values] = [chart.as_os_str(), values.as_os_str()];
    let options = ["--strict", "--kube-version", KUBE_VERSION, "--values"].map(OsStr::new);
    run("helm", [&[OsStr::new("lint"), chart][..], &options, &[values]].concat())
}

/// What the chart at `chart` renders for the release `shop` in the namespace `web`.
pub fn template_of(chart: &Path, values: Option<&Path>, set: &[&str]) -> Result<String, String> {
    let mut arguments = vec![OsStr::new("template"), OsStr::new("shop"), chart.as_os_str()];
    arguments.extend(["--namespace", "web", "--kube-version", KUBE_VERSION].map(OsStr::new));
    if let Some(values) = values {
        arguments.extend([OsStr::new("--values"), values.as_os_str()]);
    }
    arguments.extend(set.iter().flat_map(|set| [OsStr::new("--set"), OsStr::new(*set)]));
    run("helm", arguments)
}

pub fn template(values: &Path, set: &[&str]) -> Result<String, String> {
    template_of(&path("helm/cottontail"), Some(values), set)
}

/// The objects of a file of YAML documents.
#[derive(Debug)]
pub struct Objects(Vec<Value>);

impl Objects {
    /// The chart with these values, some of them changed.
    pub fn render(values: &str, set: &[&str]) -> Self {
        Self::parse(&template(&ci(values), set).unwrap_or_else(|error| panic!("{values} {set:?}: {error}")))
    }

    pub fn parse(yaml: &str) -> Self {
        let documents = yaml_serde::Deserializer::from_str(yaml);
        let objects = documents.map(|document| Value::deserialize(document).expect("YAML that JSON can say"));
        Self(objects.filter(|object| !object.is_null()).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    /// `Kind/name` of each.
    pub fn names(&self) -> Vec<String> {
        let name = |object: &Value| format!("{}/{}", text(object, "/kind"), text(object, "/metadata/name"));
        self.iter().map(name).collect()
    }

    pub fn find(&self, kind: &str) -> Option<&Value> {
        self.iter().find(|object| text(object, "/kind") == kind)
    }

    pub fn named(&self, kind: &str, name: &str) -> &Value {
        let wanted = |object: &&Value| text(object, "/kind") == kind && text(object, "/metadata/name") == name;
        self.iter().find(wanted).unwrap_or_else(|| panic!("no {kind}/{name} among {:?}", self.names()))
    }

    /// The only object of a kind.
    pub fn only(&self, kind: &str) -> &Value {
        let mut found = self.iter().filter(|object| text(object, "/kind") == kind);
        let (Some(object), None) = (found.next(), found.next()) else { panic!("not one {kind}: {:?}", self.names()) };
        object
    }

    /// The pod's spec of the chart's Deployment.
    pub fn pod(&self) -> &Value {
        at(self.only("Deployment"), "/spec/template/spec")
    }
}

/// The value at a JSON pointer, which must be there.
pub fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer} in {value:#}"))
}

/// The text at a JSON pointer.
pub fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    at(value, pointer).as_str().unwrap_or_else(|| panic!("no text at {pointer} in {value:#}"))
}

/// The items of the list at a JSON pointer.
pub fn list<'v>(value: &'v Value, pointer: &str) -> &'v Vec<Value> {
    at(value, pointer).as_array().unwrap_or_else(|| panic!("no list at {pointer} in {value:#}"))
}
