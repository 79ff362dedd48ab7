//! `docs/contract.md` is generated from `wit/policy.wit`. This test fails if it is not what the
//! contract says; to write it anew:
//!
//!   WAYPOST_WRITE_DOCS=1 cargo test docs::

use std::fmt::Write as _;

use wit_parser::{
    Function, FunctionKind, Handle, Interface, InterfaceId, Resolve, Type, TypeDef, TypeDefKind,
    TypeId, World, WorldId, WorldItem,
};

use crate::fixtures::repository;

#[test]
fn the_reference_is_what_the_contract_says() {
    let wit = std::fs::read_to_string(repository().join("wit/policy.wit")).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_source("policy.wit", &wit).unwrap();
    let package = &resolve.packages[package];
    let mut page = format!("# Contract reference: `{}`\n\n", package.name);
    page.push_str("<!-- Generated from wit/policy.wit by tests/integration/docs/reference.rs; don't edit. -->\n\n");
    let docs = package.docs.contents.as_deref().unwrap_or_default();
    paragraphs(
        &mut page,
        &docs.replace(
            "README.md in this folder",
            "[`wit/README.md`](../wit/README.md)",
        ),
    );
    let worlds: Vec<(&World, WorldId)> = package
        .worlds
        .values()
        .map(|id| (&resolve.worlds[*id], *id))
        .collect();
    let exported = |interface: InterfaceId| {
        worlds.iter().any(|(world, _)| {
            world
                .exports
                .values()
                .any(|item| matches!(item, WorldItem::Interface { id, .. } if *id == interface))
        })
    };
    let (hooks, host): (Vec<_>, Vec<_>) = package
        .interfaces
        .values()
        .copied()
        .partition(|id| exported(*id));
    contents(&mut page, &resolve, "Hooks, which a policy exports", &hooks);
    contents(&mut page, &resolve, "What the host offers", &host);
    for id in hooks.into_iter().chain(host) {
        interface(&mut page, &resolve, &resolve.interfaces[id]);
    }
    page.push_str("## Worlds\n\n");
    for (world, _) in &worlds {
        let _ = write!(page, "### world `{}`\n\n", world.name);
        paragraphs(
            &mut page,
            world.docs.contents.as_deref().unwrap_or_default(),
        );
        names(&mut page, &resolve, "imports", world.imports.values());
        names(&mut page, &resolve, "exports", world.exports.values());
    }
    let page = format!("{}\n", page.trim_end());

    super::compare("contract.md", &page);
}

fn contents(page: &mut String, resolve: &Resolve, title: &str, interfaces: &[InterfaceId]) {
    let _ = write!(page, "| {title} | |\n|---|---|\n");
    for id in interfaces {
        let interface = &resolve.interfaces[*id];
        let name = interface.name.as_deref().unwrap_or_default();
        let docs = interface.docs.contents.as_deref().unwrap_or_default();
        let first = docs.lines().next().unwrap_or_default();
        let _ = writeln!(page, "| [`{name}`](#interface-{name}) | {first} |");
    }
    page.push('\n');
}

fn names<'a>(
    page: &mut String,
    resolve: &Resolve,
    what: &str,
    items: impl Iterator<Item = &'a WorldItem>,
) {
    let name = |item: &WorldItem| match item {
        WorldItem::Interface { id, .. } => resolve.interfaces[*id]
            .name
            .clone()
            .map(|n| format!("[`{n}`](#interface-{n})")),
        _ => None,
    };
    let names: Vec<String> = items.filter_map(name).collect();
    if !names.is_empty() {
        let _ = write!(page, "- {what}: {}\n\n", names.join(", "));
    }
}

fn interface(page: &mut String, resolve: &Resolve, interface: &Interface) {
    let _ = write!(
        page,
        "## interface `{}`\n\n",
        interface.name.as_deref().unwrap_or_default()
    );
    paragraphs(page, interface.docs.contents.as_deref().unwrap_or_default());
    for id in interface.types.values() {
        defined(page, resolve, interface, *id);
    }
    for function in interface
        .functions
        .values()
        .filter(|f| matches!(f.kind, FunctionKind::Freestanding))
    {
        shown(page, resolve, function, "###");
    }
}

fn defined(page: &mut String, resolve: &Resolve, interface: &Interface, id: TypeId) {
    let TypeDef {
        name, kind, docs, ..
    } = &resolve.types[id];
    let name = name.as_deref().unwrap_or_default();
    let mut item = |what: &str| {
        let _ = write!(page, "### {what} `{name}`\n\n");
        paragraphs(page, docs.contents.as_deref().unwrap_or_default());
    };
    match kind {
        TypeDefKind::Resource => {
            item("resource");
            let own = interface
                .functions
                .values()
                .filter(|f| f.kind.resource() == Some(id));
            own.for_each(|function| shown(page, resolve, function, "####"));
        }
        TypeDefKind::Record(record) => {
            item("record");
            page.push_str("| field | type | |\n|---|---|---|\n");
            for field in &record.fields {
                row(
                    page,
                    &[&field.name, &written(resolve, &field.ty)],
                    field.docs.contents.as_deref(),
                );
            }
            page.push('\n');
        }
        TypeDefKind::Enum(cases) => {
            item("enum");
            page.push_str("| case | |\n|---|---|\n");
            cases
                .cases
                .iter()
                .for_each(|case| row(page, &[&case.name], case.docs.contents.as_deref()));
            page.push('\n');
        }
        TypeDefKind::Variant(variant) => {
            item("variant");
            page.push_str("| case | type | |\n|---|---|---|\n");
            for case in &variant.cases {
                let ty = case.ty.as_ref();
                let ty = ty.map_or_else(String::new, |ty| written(resolve, ty));
                row(page, &[&case.name, &ty], case.docs.contents.as_deref());
            }
            page.push('\n');
        }
        // `use`d from another interface, which has its own section.
        TypeDefKind::Type(_) => {}
        other => panic!("the reference can't show a {} yet: {name}", other.as_str()),
    }
}

fn row(page: &mut String, cells: &[&str], docs: Option<&str>) {
    let cells: Vec<String> = cells.iter().map(|cell| format!("`{cell}`")).collect();
    let _ = writeln!(
        page,
        "| {} | {} |",
        cells.join(" | "),
        docs.unwrap_or_default().replace('\n', " ")
    );
}

fn shown(page: &mut String, resolve: &Resolve, function: &Function, level: &str) {
    let method = matches!(function.kind, FunctionKind::Method(_));
    let parameters = function.params.iter().skip(usize::from(method));
    let parameters: Vec<String> = parameters
        .map(|p| format!("{}: {}", p.name, written(resolve, &p.ty)))
        .collect();
    let result = function
        .result
        .as_ref()
        .map(|ty| format!(" -> {}", written(resolve, ty)))
        .unwrap_or_default();
    let _ = write!(
        page,
        "{level} `{}({}){result}`\n\n",
        function.item_name(),
        parameters.join(", ")
    );
    paragraphs(page, function.docs.contents.as_deref().unwrap_or_default());
}

/// A type as the contract writes it.
fn written(resolve: &Resolve, ty: &Type) -> String {
    let id = match ty {
        Type::Id(id) => *id,
        Type::Bool => return "bool".to_owned(),
        Type::String => return "string".to_owned(),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::S64 => {
            return format!("{ty:?}").to_lowercase();
        }
        other => panic!("the reference can't show {other:?} yet"),
    };
    let TypeDef { name, kind, .. } = &resolve.types[id];
    let inner = |ty: &Type| written(resolve, ty);
    match (name, kind) {
        (Some(name), _) => name.clone(),
        (None, TypeDefKind::List(ty)) => format!("list<{}>", inner(ty)),
        (None, TypeDefKind::Option(ty)) => format!("option<{}>", inner(ty)),
        (None, TypeDefKind::Tuple(tuple)) => {
            format!(
                "tuple<{}>",
                tuple.types.iter().map(inner).collect::<Vec<_>>().join(", ")
            )
        }
        (None, TypeDefKind::Handle(Handle::Borrow(id))) => {
            format!("borrow<{}>", inner(&Type::Id(*id)))
        }
        (None, TypeDefKind::Result(result)) => {
            let side = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), inner);
            match &result.err {
                Some(_) => format!("result<{}, {}>", side(&result.ok), side(&result.err)),
                None => format!("result<{}>", side(&result.ok)),
            }
        }
        (None, other) => panic!("the reference can't show a {} yet", other.as_str()),
    }
}

/// Lists and paragraphs stay; nothing else is in the contract's comments.
fn paragraphs(page: &mut String, docs: &str) {
    if !docs.is_empty() {
        page.push_str(docs.trim_end());
        page.push_str("\n\n");
    }
}
