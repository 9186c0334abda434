import hmac
import http.client
import random
import secrets
import socket
import ssl
import urllib.request

import requests


def asked(url: str) -> None:
    # ruleid: no-time-limit
    urllib.request.urlopen(url)
    # ruleid: no-time-limit
    requests.get(url)
    # ruleid: no-time-limit
    socket.create_connection(("localhost", 1883))
    # ruleid: no-time-limit
    http.client.HTTPConnection("localhost")
    # ok: no-time-limit
    urllib.request.urlopen(url, timeout=5)
    # ok: no-time-limit
    requests.get(url, timeout=5)
    # ok: no-time-limit
    socket.create_connection(("localhost", 1883), 5)
    # ok: no-time-limit
    http.client.HTTPConnection("localhost", timeout=5)


def trusted(url: str, client, cafile: str) -> None:
    context = ssl.create_default_context()
    # ruleid: nobody-verified
    context.check_hostname = False
    # ruleid: nobody-verified
    context.verify_mode = ssl.CERT_NONE
    # ruleid: nobody-verified
    client.tls_insecure_set(True)
    # ruleid: nobody-verified
    requests.get(url, verify=False, timeout=5)
    # ok: nobody-verified
    client.tls_set(cafile)
    # ok: nobody-verified
    context.verify_mode = ssl.CERT_REQUIRED


def made() -> list:
    # ruleid: guessable
    password = "".join(random.choices("abc", k=20))
    # ruleid: guessable
    auth_token = random.getrandbits(128)
    # ok: guessable
    secret = secrets.token_urlsafe()
    # ok: guessable
    sample = random.choices("abc", k=20)
    return [password, auth_token, secret, sample]


def let_in(password: str, given: str, tokens: int) -> bool:
    # ruleid: secret-compared-by-equals
    if given == password:
        return True
    # ruleid: secret-compared-by-equals
    if password != given:
        return False
    # ok: secret-compared-by-equals
    if password == "":
        return False
    # ok: secret-compared-by-equals
    if tokens == 32:
        return False
    # ok: secret-compared-by-equals
    return hmac.compare_digest(password, given)
