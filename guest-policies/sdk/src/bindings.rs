//! The contract as generated from `wit/`: what a policy imports, and one world for each hook, so
//! that a component exports the hooks that it names and no others.

#![allow(unsafe_code, missing_docs, reason = "the generated bindings")]

/// What the host offers. Imports that a policy does not use are left out of its component.
pub mod imports {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package waypost:sdk; world capabilities { include waypost:policy/imports@0.1.0; }",
        generate_all,
    });
}

/// One hook to a module, with the world that exports it and the macro that does.
macro_rules! hooks {
    ($($module:ident: $world:literal, $macro:literal, { $($with:tt)* };)+) => {
        $(
            pub mod $module {
                wit_bindgen::generate!({
                    path: "wit",
                    inline: $world,
                    pub_export_macro: true,
                    export_macro_name: $macro,
                    with: { $($with)* },
                    generate_all,
                });
            }
        )+
    };
}

hooks! {
    configuration: "package waypost:sdk; world configuration-hook { export waypost:policy/configuration@0.1.0; }",
        "export_configuration", {};
    topology: "package waypost:sdk; world topology-hook { export waypost:policy/topology@0.1.0; }",
        "export_topology", {};
    selection: "package waypost:sdk; world selection-hook { export waypost:policy/selection@0.1.0; }",
        "export_selection", { "waypost:policy/types@0.1.0": crate::bindings::imports::waypost::policy::types };
    request_headers: "package waypost:sdk; world request-headers-hook { export waypost:policy/request-headers@0.1.0; }",
        "export_request_headers", { "waypost:policy/types@0.1.0": crate::bindings::imports::waypost::policy::types };
    response_headers: "package waypost:sdk; world response-headers-hook { export waypost:policy/response-headers@0.1.0; }",
        "export_response_headers", { "waypost:policy/types@0.1.0": crate::bindings::imports::waypost::policy::types };
    request_target: "package waypost:sdk; world request-target-hook { export waypost:policy/request-target@0.1.0; }",
        "export_request_target", { "waypost:policy/types@0.1.0": crate::bindings::imports::waypost::policy::types };
    routing: "package waypost:sdk; world routing-hook { export waypost:policy/routing@0.1.0; }",
        "export_routing", { "waypost:policy/types@0.1.0": crate::bindings::imports::waypost::policy::types };
    destination: "package waypost:sdk; world destination-hook { export waypost:policy/destination@0.1.0; }",
        "export_destination", { "waypost:policy/types@0.1.0": crate::bindings::imports::waypost::policy::types };
    local_response: "package waypost:sdk; world local-response-hook { export waypost:policy/local-response@0.1.0; }",
        "export_local_response", { "waypost:policy/types@0.1.0": crate::bindings::imports::waypost::policy::types };
    completion: "package waypost:sdk; world completion-hook { export waypost:policy/completion@0.1.0; }",
        "export_completion", { "waypost:policy/types@0.1.0": crate::bindings::imports::waypost::policy::types };
    range: "package waypost:sdk; world range-hook { export waypost:policy/range@0.1.0; }",
        "export_range", { "waypost:policy/types@0.1.0": crate::bindings::imports::waypost::policy::types };
}
