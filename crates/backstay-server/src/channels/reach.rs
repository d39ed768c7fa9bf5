//! Which addresses a channel may reach. A channel of one tenant is told by somebody who need not see the network behind the
//! server: it reaches public addresses only, unless whoever runs the server says otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use backstay_core::ports::courier::{DeliveryError, Parcel};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::unusable;

/// How far channels reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Wherever they say.
    Anywhere,
    /// Those of one tenant to public addresses, those of the installation wherever they say.
    PublicForTenants,
}

impl Reach {
    /// Says whether a message may only go to public addresses.
    pub(super) fn is_public_only(self, parcel: &Parcel<'_>) -> bool {
        self == Self::PublicForTenants && parcel.is_of_tenant
    }
}

/// Returns why a message does not go to an address.
pub(super) fn refused(host: &str) -> DeliveryError {
    // Short: where a name was resolved much is said before it, and what is told has an end.
    unusable(format!("{host} is no public address, and server.private_channels is off"))
}

/// Refuses a host that is written as an address which is not public; names are judged when they are resolved.
pub(super) fn judge(host: &str) -> Result<(), DeliveryError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) if !is_public(address) => Err(refused(host)),
        _ => Ok(()),
    }
}

/// Returns the public addresses of a host.
///
/// # Errors
/// [`DeliveryError::Settings`] when it has others only; [`DeliveryError::Unreachable`] when it has none.
pub(super) async fn resolve(host: &str, port: u16, place: &str) -> Result<Vec<String>, DeliveryError> {
    judge(host)?;
    let found = tokio::net::lookup_host((host, port)).await;
    let found =
        found.map_err(|error| DeliveryError::Unreachable { place: place.to_owned(), said: error.to_string() })?;
    let public: Vec<String> =
        found.map(|address| address.ip()).filter(|ip| is_public(*ip)).map(|ip| ip.to_string()).collect();
    if public.is_empty() { Err(refused(host)) } else { Ok(public) }
}

/// Resolves names to their public addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(refused(name.as_str()).to_string().into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Says whether an address is one of the Internet (IANA's registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || a == 10
        || a == 127
        || a >= 224
        || (a, b) == (169, 254)
        || (a, b) == (192, 168)
        || a == 172 && (16..32).contains(&b)
        // Carriers' own, and benchmarks.
        || a == 100 && (64..128).contains(&b)
        || a == 198 && (18..20).contains(&b)
        // Azure's platform answers there from within.
        || address == Ipv4Addr::new(168, 63, 129, 16)
        || matches!((a, b, c), (192, 0, 0) | (192, 0, 2) | (198, 51, 100) | (203, 0, 113)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let [a, b, c, d, e, f, g, h] = address.segments();
    let inner = Ipv4Addr::from(u32::from(g) << 16 | u32::from(h));
    match a {
        // 6to4 and the translation of IPv4 have one within.
        0x2002 => is_public_v4(Ipv4Addr::from(u32::from(b) << 16 | u32::from(c))),
        0x64 if (b, c, d, e, f) == (0xff9b, 0, 0, 0, 0) => is_public_v4(inner),
        // Protocols' own (Teredo and others), and documents.
        0x2001 if b < 0x200 || b == 0xdb8 => false,
        _ => (0x2000..0x4000).contains(&a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for text in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1:a00:0:100:101:101",
            "168.63.129.16",
            "2002:a00:1::",
            "2001:db8::1",
            "2001::1",
            "::10.0.0.1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        assert!(judge("[::1]").is_err() && judge("127.0.0.1").is_err() && judge("hooks.example.org").is_ok());
    }
}
