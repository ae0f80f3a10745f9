"""Metadata and packages; tool settings are in pyproject.toml, tested pins in requirements.txt."""

import pathlib

from setuptools import find_packages, setup

readme = pathlib.Path(__file__).parent / "README.md"

setup(
  name="fedsafe-tff",
  version="0.1.0",
  description="Fed-Safe: federated learning that withstands adversarial attacks, on TFF",
  long_description=readme.read_text(encoding="utf-8") if readme.is_file() else "",
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  license_files=["LICENSE"],
  # The presets lie in flags/presets of a checkout and in the package once it is installed.
  packages=[*find_packages(include=["fedsafe_tff*"]), "fedsafe_tff.presets"],
  package_dir={"fedsafe_tff.presets": "flags/presets"},
  package_data={
    "fedsafe_tff.runs.report": ["*.jinja"],
    "fedsafe_tff.presets": ["*.flags", "sweep/*.flags"],
  },
  entry_points={"console_scripts": ["fedsafe = fedsafe_tff.commands.cli:main"]},
  python_requires=">=3.11,<3.12",
  install_requires=[
    "absl-py>=1.0",
    "dp-accounting>=0.4.3,<0.5",
    "grpcio>=1.46",
    "h5py>=3.9",
    "ImageHash>=4.3",
    "jinja2>=3.1",
    "joblib>=1.3",
    "matplotlib>=3.7",
    "numpy>=1.25,<2",
    "pillow>=10",
    "portpicker>=1.6,<2",
    "psutil>=5.9",
    "pyarrow<18",
    "rich>=13",
    "scikit-learn>=1.3",
    "scipy>=1.9",
    "threadpoolctl>=3",
    "tensorboard>=2.14,<2.15",
    "tensorflow>=2.14.1,<2.15",
    "tensorflow-datasets>=4.9",
    "tensorflow-federated>=0.87,<0.88",
    "tensorflow-metadata<1.16",
    "tensorflow-privacy>=0.9,<0.10",
  ],
  extras_require={
    # CUDA 11.8, with which TensorFlow 2.14 is built; its own extra `and-cuda` asks for TensorRT
    # too, which has no wheel for Python 3.11.
    "gpu": [
      "nvidia-cublas-cu11==11.11.3.6",
      "nvidia-cuda-cupti-cu11==11.8.87",
      "nvidia-cuda-nvcc-cu11==11.8.89",
      "nvidia-cuda-runtime-cu11==11.8.89",
      "nvidia-cudnn-cu11==8.7.0.84",
      "nvidia-cufft-cu11==10.9.0.58",
      "nvidia-curand-cu11==10.3.0.86",
      "nvidia-cusolver-cu11==11.4.1.48",
      "nvidia-cusparse-cu11==11.7.5.86",
      "nvidia-nccl-cu11==2.16.5",
    ],
    # What reads DICOM, NIfTI and the rarer kinds of TIFF; HDF5 comes with TensorFlow.
    "medical": ["nibabel>=5.2,<5.3", "pydicom>=3.0,<4", "tifffile>=2026.2"],
    "ray": ["ray>=2.52,<3"],
  },
  classifiers=[
    "License :: OSI Approved :: Apache Software License",
    "Programming Language :: Python :: 3.11",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
  ],
)
