"""Packaging: everything is read from settings.ini, the one place where it is kept."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
settings = config["DEFAULT"]
extras = {key.removesuffix("_requirements"): settings[key].split() for key in settings if key.endswith("_requirements")}
extras["dev"] = sorted({one for needed in extras.values() for one in needed})  # the tests use all of them

setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    url=settings["git_url"],
    author=settings["author"],
    author_email=settings["author_email"],
    license="Apache-2.0",
    keywords=settings["keywords"],
    packages=find_packages(include=["layerwise_nb", "layerwise_nb.*"]),
    python_requires=f">={settings['min_python']}",
    install_requires=settings["requirements"].split(),
    extras_require=extras,
    entry_points={
        "console_scripts": settings["console_scripts"].split(),
        "nbdev": [f"{settings['lib_path']}={settings['lib_path']}._modidx:d"],
    },
    include_package_data=True,
    zip_safe=False,
)
