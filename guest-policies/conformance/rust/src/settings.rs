//! The operator's settings.

use serde_json::Value;

#[derive(Default)]
pub struct Settings {
    pub greeting: String,
    pub pick: Option<u32>,
}

impl Settings {
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| format!("settings: not JSON: {error}"))?;
        let table = value.as_object().ok_or("settings: has to be a table")?;
        let mut settings = Settings::default();
        let mut refuse = None;
        for (key, value) in table {
            match key.as_str() {
                "greeting" => settings.greeting = string(key, value)?,
                "refuse" => refuse = Some(string(key, value)?),
                "pick" => {
                    let pick = value.as_u64().and_then(|pick| u32::try_from(pick).ok());
                    settings.pick = Some(pick.ok_or("pick: has to be a whole number")?);
                }
                _ => return Err(format!("{key}: unknown key")),
            }
        }
        match refuse {
            Some(reason) => Err(reason),
            None => Ok(settings),
        }
    }
}

fn string(key: &str, value: &Value) -> Result<String, String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("{key}: has to be a string"))
}
