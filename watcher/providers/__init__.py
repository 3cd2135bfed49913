"""The closed list of providers. Each is one file: a configuration section that builds requests and reads answers."""

from typing import Annotated, TypeAlias

from pydantic import Field

from watcher.providers.chime import Chime
from watcher.providers.d7 import D7
from watcher.providers.http import Http
from watcher.providers.kore import Kore
from watcher.providers.ukg import Ukg

ProviderSection: TypeAlias = Annotated[Chime | D7 | Http | Kore | Ukg, Field(discriminator="type")]
