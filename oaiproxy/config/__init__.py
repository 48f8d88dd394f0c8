"""Where settings come from: the command line, the environment (with ``.env``), and a TOML file, as one typed value.

Precedence: option, environment, file, default.
"""

from oaiproxy.config.build import Place, build
from oaiproxy.config.sources import ConfigError, ConfigFile
from oaiproxy.config.table import SETTINGS, Setting

__all__ = ["SETTINGS", "ConfigError", "ConfigFile", "Place", "Setting", "build"]
