"""Options of the sinks `mqtt` and `mqtts`, and the broker's address and credentials.

Conventions: a broker's certificate is always checked. Credentials come from the environment or a file, never from an
address, which others could read.
"""

from __future__ import annotations

import ssl
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.files.paths import expand_path, read_secret
from soundwatch.daemon.core.files.renewed import Renewed
from soundwatch.daemon.core.network.certificates import trusted_certificates
from soundwatch.daemon.core.text.utf8 import environment_text
from soundwatch.daemon.core.time.clock import DAY_S
from soundwatch.daemon.sinks.mqtt.connection import Broker
from soundwatch.daemon.sinks.spec import SinkSpec


class BrokerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials at a broker.

    Attributes:
        credentials_file: A file of two lines, user name and password, in place of MQTT_USERNAME and MQTT_PASSWORD.
        ca: Certificates that check the broker's, in place of the system's.
        cert: Certificate of this client.
        key: Key of that certificate.
    """

    credentials_file: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


class MqttOptions(BrokerOptions, frozen=True, kw_only=True):
    """Options of `mqtt` and `mqtts`.

    Attributes:
        retain: Have the broker keep states for later subscribers.
        discovery: Describe the entities to Home Assistant.
        level_s: Seconds between two levels of a source; 0 for none.
        commands: Accept commands for offsets of thresholds and for schedules, and describe them to Home Assistant.
        fleet: Publish every line, and a report each `report_s`, for `soundwatch fleet`.
        report_s: Seconds between two reports.
        page: URL at which readers reach the page, as https://balcony.lan:8433, for links to clips; null for no links.
        pictures: Publish the picture of each clip, for image entities of Home Assistant; needs `clips.pictures`.
    """

    retain: bool = True
    discovery: bool = True
    level_s: Annotated[float, msgspec.Meta(ge=0, le=DAY_S)] = 10.0
    commands: bool = False
    fleet: bool = False
    report_s: Annotated[float, msgspec.Meta(gt=0, le=DAY_S)] = 30.0
    page: str | None = None
    pictures: bool = False


def parse_broker(spec: SinkSpec, options: BrokerOptions) -> Broker:
    """Return the broker of a sink.

    Raises:
        ConfigError: The address or an option is wrong.
        SinkError: A file of the options cannot be read.
    """
    host, port = parse_address(spec)
    return Broker(host, port, _tls(spec, options), *_credentials(spec, options))


def renewed_broker(spec: SinkSpec, options: BrokerOptions) -> Renewed[Broker]:
    """Return the broker of a sink, whose files are read again after they were replaced.

    Raises:
        ConfigError: The address or an option is wrong.
        SinkError: A file of the options cannot be read.
    """
    ca = trusted_certificates(options.ca) if spec.kind == "mqtts" else None
    return Renewed(lambda: parse_broker(spec, options), (options.credentials_file, options.cert, options.key, ca))


def parse_address(spec: SinkSpec) -> tuple[str, int]:
    """Return host and port of a broker.

    Raises:
        ConfigError: The address is wrong, or holds credentials.
    """
    try:
        url = urlsplit(f"{spec.kind}:{spec.target}")
        host, port = url.hostname, (spec.default_port or 0) if url.port is None else url.port
    except ValueError:
        host, port, url = None, 0, urlsplit("")
    if url.username is not None or url.password is not None:
        raise ConfigError(
            f"-F {spec.kind}://: credentials do not belong into an address, where others can read them. Set "
            "MQTT_USERNAME and MQTT_PASSWORD, or give credentials_file=PATH."
        )
    if not host or not port or url.path.strip("/") or url.query:
        raise ConfigError(
            f"-F {spec.text} is no broker's address; {spec.kind}://HOST or {spec.kind}://HOST:PORT was expected."
        )
    return host, port


def _credentials(spec: SinkSpec, options: BrokerOptions) -> tuple[str | None, str | None]:
    if options.credentials_file is None:
        return environment_text("MQTT_USERNAME"), environment_text("MQTT_PASSWORD")
    try:
        username, password = read_secret(expand_path(options.credentials_file)).splitlines()[:2]
    except OSError as error:
        raise SinkError(f"{options.credentials_file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(
            f"-F {spec.text}: {options.credentials_file} has to have two lines, the user name and the password."
        ) from error
    return username, password


def _tls(spec: SinkSpec, options: BrokerOptions) -> ssl.SSLContext | None:
    if spec.kind == "mqtt":
        if options.ca or options.cert or options.key:
            raise ConfigError(f"-F {spec.text}: ca, cert and key need an encrypted connection; write mqtts://.")
        return None
    try:
        context = ssl.create_default_context(cafile=options.ca)
        if options.cert is not None:
            context.load_cert_chain(options.cert, options.key, password="")  # without one, OpenSSL asks the terminal
    except OSError as error:
        raise SinkError(f"-F {spec.text}: its certificates cannot be used: {error}.") from error
    return context
