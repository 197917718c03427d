//! The page: one file without other resources, and the policy that permits only what it needs.

use crate::limits::PAGE_BYTES_MAX;
use data_encoding::BASE64;
use hyper::header::HeaderValue;
use sha2::{Digest as _, Sha256};

/// The page.
pub const HTML: &str = include_str!("page.html");

const _: () = assert!(HTML.len() < PAGE_BYTES_MAX);

/// The `Content-Security-Policy` of the page. It permits the page's own style and script, by their hashes, requests to
/// its own origin, `data:` images, and nothing else.
///
/// # Panics
/// Never: the hashes are ASCII.
pub fn policy() -> HeaderValue {
    let [style, script] = ["style", "script"].map(|element| hash(content(element)));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; \
         img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    );
    HeaderValue::try_from(policy).expect("a policy is ASCII")
}

/// The content of the page's only element of that name.
fn content(element: &str) -> &'static str {
    let inner = HTML.split_once(&format!("<{element}>")).map_or("", |(_, rest)| rest);
    inner.split_once(&format!("</{element}>")).map_or("", |(content, _)| content)
}

fn hash(content: &str) -> String {
    BASE64.encode(&Sha256::digest(content.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_loads_no_other_resource_and_inserts_no_markup() {
        for element in ["style", "script"] {
            assert_eq!(HTML.matches(&format!("<{element}")).count(), 1, "{element}");
            assert!(content(element).len() > 100, "{element}");
        }
        for forbidden in [
            "http:",
            "https:",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            " style=",
            " onclick",
            "@import",
            "url(",
        ] {
            let found = HTML.replace("http://www.w3.org/2000/svg", "");
            assert!(!found.contains(forbidden), "{forbidden}");
        }
    }
}
