//! Strict validation of rendered objects by kubeconform, with schemas made of what Kubernetes, the Gateway API and the Prometheus
//! operator publish as Go modules; nothing of them is kept in this repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use crate::chart::{list, run, text};

const KUBERNETES: &str = "k8s.io/kubernetes@v1.36.3";
const GATEWAY_API: &str = "sigs.k8s.io/gateway-api@v1.4.1";
const PROMETHEUS_OPERATOR: &str = "github.com/prometheus-operator/prometheus-operator@v0.85.0";

/// What kubeconform says of objects whose every field must be known; `Err` when one is not as its schema wants it.
pub fn validate(file: &Path) -> Result<String, String> {
    let schemas = folder().join("{{.ResourceKind}}{{.KindSuffix}}.json");
    let schemas = schemas.to_str().expect("the target folder has a plain name");
    let file = file.to_str().expect("temporary files have plain names");
    run("kubeconform", ["-strict", "-summary", "-schema-location", schemas, file])
}

/// Where the schemas are, made once in a run.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemas");
        fs::create_dir_all(&folder).expect("the target folder is writable");
        write_kubernetes(&folder);
        let routes = module(GATEWAY_API).join("config/crd/standard/gateway.networking.k8s.io_httproutes.yaml");
        write_crd(&folder, &routes);
        for kind in ["podmonitors", "servicemonitors", "prometheusrules"] {
            let file = format!("example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml");
            write_crd(&folder, &module(PROMETHEUS_OPERATOR).join(file));
        }
        folder
    })
}

/// The folder of a Go module, which Go downloads, verifies and keeps.
fn module(name: &str) -> PathBuf {
    let answer = run("go", ["mod", "download", "-json", name]).unwrap_or_else(|error| panic!("{name}: {error}"));
    let answer: Value = serde_json::from_str(&answer).expect("go prints JSON");
    PathBuf::from(text(&answer, "/Dir"))
}

/// kubeconform's name for the schema of a kind: `deployment-apps-v1.json`, `service-v1.json`.
fn file_name(group: &str, version: &str, kind: &str) -> String {
    let group = group.split('.').next().filter(|group| !group.is_empty());
    [Some(kind), group, Some(version)].into_iter().flatten().collect::<Vec<_>>().join("-").to_lowercase() + ".json"
}

/// One file for each kind of Kubernetes' own, with those definitions that it leads to.
fn write_kubernetes(folder: &Path) {
    let swagger = module(KUBERNETES).join("api/openapi-spec/swagger.json");
    let mut swagger: Value = serde_json::from_slice(&fs::read(swagger).expect("it is in the module")).expect("JSON");
    let definitions = swagger["definitions"].as_object_mut().expect("OpenAPI 2 has definitions");
    definitions.values_mut().for_each(strict);
    for (name, schema) in &*definitions {
        let Some([kind]) = schema["x-kubernetes-group-version-kind"].as_array().map(Vec::as_slice) else { continue };
        let file = file_name(text(kind, "/group"), text(kind, "/version"), text(kind, "/kind"));
        let used: Map<_, _> =
            reachable(definitions, name).into_iter().map(|name| (name.clone(), definitions[&name].clone())).collect();
        let schema = json!({ "$ref": format!("#/definitions/{name}"), "definitions": used });
        fs::write(folder.join(file), schema.to_string()).expect("the target folder is writable");
    }
}

/// The names of a definition and of all that it refers to.
fn reachable(definitions: &Map<String, Value>, name: &str) -> BTreeSet<String> {
    let (mut found, mut waiting) = (BTreeSet::new(), vec![name.to_owned()]);
    while let Some(name) = waiting.pop() {
        references(&definitions[&name], &mut waiting);
        found.insert(name);
        waiting.retain(|name| !found.contains(name));
    }
    found
}

fn references(schema: &Value, into: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/definitions/"));
            into.extend(name.map(str::to_owned));
            fields.values().for_each(|field| references(field, into));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn write_crd(folder: &Path, file: &Path) {
    let crd = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let documents = yaml_serde::Deserializer::from_str(&crd).map(|crd| Value::deserialize(crd).expect("YAML"));
    let crds: Vec<Value> = documents.filter(|crd| crd["kind"] == "CustomResourceDefinition").collect();
    assert_eq!(crds.len(), 1, "{}", file.display());
    for version in list(&crds[0], "/spec/versions") {
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        strict(&mut schema);
        let (group, kind) = (text(&crds[0], "/spec/group"), text(&crds[0], "/spec/names/kind"));
        let name = file_name(group, text(version, "/name"), kind);
        fs::write(folder.join(name), schema.to_string()).expect("the target folder is writable");
    }
}

/// Refuses fields that a schema does not name, and says in JSON schema's words what Kubernetes says in its own.
fn strict(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    let either = fields.get("format").is_some_and(|format| format == "int-or-string")
        || fields.get("x-kubernetes-int-or-string").is_some_and(|flag| flag == true);
    let quantity =
        fields.get("description").and_then(Value::as_str).is_some_and(|text| text.starts_with("Quantity is a fixed"));
    if either || quantity {
        *schema = json!({ "type": ["string", "number"] });
        return;
    }
    let open = fields.contains_key("additionalProperties")
        || fields.get("x-kubernetes-preserve-unknown-fields").is_some_and(|flag| flag == true);
    if fields.get("properties").is_some_and(Value::is_object) && !open {
        fields.insert("additionalProperties".to_owned(), false.into());
    }
    for (name, field) in fields {
        if name != "properties" && field.is_object() {
            strict(field);
        } else if let Value::Object(named) = field {
            named.values_mut().for_each(strict);
        }
    }
}
