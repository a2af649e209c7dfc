"""TLS to the provider: whom to trust, and what to say when there is no reason to.

Owns both. Does not own the connection (server.py).
Invariant: nothing is sent to a host that nobody vouches for. Authorities are those of the machine, or those in the
file that `SSL_CERT_FILE` names, as for other programs.
"""

import ssl

__all__ = ["trusting", "why_not"]

_OF_ANOTHER = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context()


def why_not(error: OSError) -> str:
    """Why there is no connection, in words."""
    match error:
        case ssl.SSLCertVerificationError(verify_code=code) if code in _OF_ANOTHER:
            return f"it has the certificate of another host: {error.verify_message}"
        case ssl.SSLCertVerificationError():
            way_out = "SSL_CERT_FILE names the file of those that are"
            return f"its certificate is by nobody who is trusted: {error.verify_message}; {way_out}"
        case _:
            return error.strerror or "no answer in time"
