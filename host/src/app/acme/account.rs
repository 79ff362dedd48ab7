//! The account with the authority: made once, and kept.

use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};

use super::super::certificates::{Kept, external_key};
use super::failure::Failure;
use super::http::Http;
use crate::config::{Acme, ExternalAccount};

/// The account that is kept, or a new one.
pub(super) async fn account(settings: &Acme, kept: &Kept, http: &Http) -> Result<Account, Failure> {
    if let Some(account) = existing(kept, http).await? {
        return Ok(account);
    }
    let external = settings.external_account.as_ref().map(key).transpose()?;
    let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        // Without it the configuration is refused.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let (account, credentials) = Account::builder_with_http(Box::new(http.clone()))
        .create(&new, settings.directory.clone(), external.as_ref())
        .await?;
    let text = serde_json::to_vec(&credentials).map_err(|e| Failure::new(&e.to_string()))?;
    // Without its key an account is lost.
    kept.keep_account(&text).map_err(|e| {
        let path = kept.account_path();
        Failure::new(&format!(
            "the account can't be kept in {}: {e}",
            path.display()
        ))
    })?;
    tracing::info!(
        directory = settings.shown_directory(),
        "an account with the authority was made"
    );
    Ok(account)
}

/// The account that is kept; `None` if there is none.
pub(super) async fn existing(kept: &Kept, http: &Http) -> Result<Option<Account>, Failure> {
    let path = || kept.account_path().display().to_string();
    let text = kept
        .account()
        .map_err(|e| Failure::new(&format!("the account in {} can't be read: {e}", path())))?;
    let Some(text) = text else {
        return Ok(None);
    };
    let credentials: AccountCredentials = serde_json::from_slice(&text).map_err(|e| {
        Failure::new(&format!(
            "the account in {} is damaged: {e}; remove the file, so that another one is made",
            path()
        ))
    })?;
    let builder = Account::builder_with_http(Box::new(http.clone()));
    Ok(Some(builder.from_credentials(credentials).await?))
}

/// The key of the external account.
fn key(external: &ExternalAccount) -> Result<ExternalAccountKey, Failure> {
    let key = external_key(external).map_err(|e| Failure::new(&e))?;
    Ok(ExternalAccountKey::new(external.key_id.clone(), &key))
}
