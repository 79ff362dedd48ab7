//! A working policy but for an import that no host offers: it must be refused when it is loaded.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package tests:wants-vault;

        interface vault {
            open: func(name: string) -> u32;
        }

        world wants-vault {
            include waypost:policy/imports@0.1.0;
            import vault;
            export waypost:policy/selection@0.1.0;
        }
    ",
    generate_all,
});

use exports::waypost::policy::selection::{self, Request, Response};

struct WantsVault;

impl selection::Guest for WantsVault {
    fn select(request: &Request, _pool: u32, _attempt: u32) -> Result<Option<u32>, Response> {
        Ok(Some(tests::wants_vault::vault::open(&request.host())))
    }
}

export!(WantsVault);
