"""A mail server for tests: STARTTLS and a login are demanded, each mail becomes a file named after its receiver.

Receivers that begin with `later` are put off (451), with `refuse` are refused (550).
Usage: server.py PORT DIR    (DIR/server.pem is certificate and key, DIR/mail takes the mails)
"""

import asyncio
import os
import ssl
import sys
import uuid

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

LOGIN = LoginPassword(b"test-only", b"test-only-password")


class Mails:
    def __init__(self, folder):
        self.folder = folder

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address.startswith("later"):
            return "451 4.2.1 the mailbox is busy, come again"
        if address.startswith("refuse"):
            return "550 5.1.1 there is no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        for receiver in envelope.rcpt_tos:
            name = os.path.join(self.folder, f"{receiver}-{uuid.uuid4().hex}")
            with open(name + ".new", "wb") as file:
                file.write(envelope.original_content)
            # Whole or not at all, for a test that looks at the folder.
            os.rename(name + ".new", name + ".eml")
        return "250 2.0.0 taken"


def judge(server, session, envelope, mechanism, data):
    # Handled: an answer of 535 is sent here, and it is the server's own.
    return AuthResult(success=data == LOGIN, handled=data == LOGIN)


def main():
    port, folder = int(sys.argv[1]), sys.argv[2]
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(os.path.join(folder, "server.pem"))
    controller = Controller(
        Mails(os.path.join(folder, "mail")),
        hostname="127.0.0.1",
        port=port,
        tls_context=tls,
        require_starttls=True,
        auth_required=True,
        authenticator=judge,
        enable_SMTPUTF8=True,
    )
    controller.start()
    asyncio.new_event_loop().run_forever()


main()
