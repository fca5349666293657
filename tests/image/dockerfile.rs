//! The Dockerfile: hadolint has nothing to say of it, and it agrees with the chart and with what it copies.

use std::path::Path;
use std::process::Command;

use crate::read;

/// The arguments of an instruction, each time it occurs.
fn instructions(name: &str) -> Vec<String> {
    let dockerfile = read("Dockerfile").replace("\\\n", " ");
    let lines = dockerfile.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned);
    lines.collect()
}

#[test]
fn hadolint_finds_no_fault() {
    let said = Command::new("hadolint")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile"))
        .output()
        .unwrap_or_else(|error| panic!("hadolint: {error}; tests/run installs it"));
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}

#[test]
fn the_image_runs_as_nobody_where_the_chart_expects_it() {
    assert_eq!(instructions("FROM").last().unwrap(), "scratch");
    assert_eq!(instructions("USER"), ["65532:65532"]);
    assert_eq!(instructions("ENTRYPOINT"), [r#"["/cottontail"]"#]);
    assert_eq!(instructions("WORKDIR").last().unwrap(), "/etc/cottontail");
    let chart = read("helm/cottontail/templates/_container.tpl");
    for expected in ["workingDir: /etc/cottontail", "command: [/cottontail, drain]", "args: [run]"] {
        assert!(chart.contains(expected), "{expected}");
    }
    assert!(read("helm/cottontail/values.yaml").contains("runAsUser: 65532"));
}

#[test]
fn what_is_built_is_locked_and_both_architectures_have_a_target() {
    let builds: Vec<_> = instructions("RUN").into_iter().filter(|run| run.contains("zigbuild --release")).collect();
    assert_eq!(builds.len(), 2, "the dependencies, then the program");
    assert!(builds.iter().all(|build| build.contains("--locked --features mimalloc,otlp ")), "{builds:?}");
    let run = instructions("RUN").join("\n");
    for (architecture, target) in [("amd64", "x86_64-unknown-linux-musl"), ("arm64", "aarch64-unknown-linux-musl")] {
        assert!(run.contains(&format!("{architecture}) echo {target}")), "{architecture}");
    }
    let toolchain = instructions("FROM").remove(0);
    let version = toolchain.split_once("rust:").and_then(|(_, rest)| rest.split('-').next()).unwrap().to_owned();
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let oldest = manifest["package"]["rust-version"].as_str().unwrap();
    let number = |version: &str| version.split('.').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
    assert!(number(&version) >= number(oldest), "Rust {version} is older than {oldest}");
}

#[test]
fn what_the_dockerfile_copies_is_let_through_and_nothing_else() {
    let ignored = read(".dockerignore");
    let mut let_through: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let local = instructions("COPY").into_iter().filter(|copy| !copy.starts_with("--from"));
    let mut copied: Vec<String> = local
        .flat_map(|copy| {
            let mut words: Vec<_> = copy.split(' ').map(str::to_owned).collect();
            words.pop();
            words
        })
        .collect();
    let_through.sort_unstable();
    copied.sort_unstable();
    assert_eq!(copied, let_through);
    assert!(ignored.lines().any(|line| line == "*"));
}

#[test]
fn the_layer_of_the_dependencies_has_a_stub_for_each_target_of_the_manifest() {
    let stubs = instructions("RUN").into_iter().find(|run| run.contains("touch src/lib.rs benches")).unwrap();
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    for bench in manifest["bench"].as_array().unwrap() {
        let named = format!("benches/{}.rs", bench["name"].as_str().unwrap());
        let path = bench.get("path").and_then(toml::Value::as_str).unwrap_or(&named);
        assert!(stubs.contains(path), "{path}");
    }
}

/// The files beside `src` that the program, its tests apart, holds in itself.
fn included(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let names = entries.flat_map(|path| {
        if path.is_dir() {
            return included(&path);
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let program = text.split("#[cfg(test)]").next().unwrap_or_default();
        let paths = program.split("include_str!(\"").skip(1).filter_map(|rest| rest.split('"').next());
        paths.filter(|path| path.starts_with("../")).map(|path| path.trim_start_matches("../").to_owned()).collect()
    });
    names.collect()
}

#[test]
fn what_the_program_holds_in_itself_is_copied() {
    let copies = instructions("COPY").join("\n");
    let included = included(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(!included.is_empty(), "config.toml is one");
    for name in included {
        assert!(copies.split([' ', '\n']).any(|word| word == name), "{name}");
    }
}
