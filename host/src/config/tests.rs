use super::*;
use std::path::Path;
#[test]
fn explore() {
    for text in [
        "lisen = 3\n[pools.a]\nbackends=[]\nmax_idle = 3\n[policies.\"a/b\"]\n[policies.x]\ndeadline=\"5\"\n[[routes]]\nhost='A.'\npool='q'\npolicies=['x','foo','random','random']\n",
        "a = \nb = [1,\nc= ''",
        "[hosts]\n\"WWW.a.com:80\" = ['1.2.3.4','http://x/','x:0','1.2.3']\n'www.a.com.' = '::1'\n'w.*'=1\n",
        "[admin]\nlisten='0.0.0.0:8080'\n",
        "[[pools]]\nx=1\n",
        "[routes]\nx=1\n",
        "policies.x.settings.a = 2020-01-01\npolicies.x.builtin='random'\npolicies.x.settings.b=99999999999999999999999\n[pools]\na.b.c=3\n",
    ] {
        match Config::from_toml(text, Path::new("/etc")) {
            Ok(c) => println!("{c:#?}"),
            Err(e) => println!("{e}\n"),
        }
    }
    let deep = "a.".repeat(100_000) + "a = 1";
    println!("{:.300}", Config::from_toml(&deep, Path::new("")).unwrap_err());
    let deep = "a=".to_owned() + &"[".repeat(100_000);
    println!("{:.300}", Config::from_toml(&deep, Path::new("")).unwrap_err());
    let deep = "a=".to_owned() + &"{a=".repeat(100_000);
    println!("{:.300}", Config::from_toml(&deep, Path::new("")).unwrap_err());
}
