#!/bin/sh
# Creates the environments of the peers, FOLDER/flower and FOLDER/pfl, each with what its
# requirements file pins: sh benchmarks/peers/make_environments.sh FOLDER [PYTHON]
set -eu

if [ $# -lt 1 ]; then
  echo "usage: sh $0 FOLDER [PYTHON]; FOLDER lies best outside the checkout" >&2
  exit 2
fi
folder=$1
python=${2:-python3.11}
here=$(cd "$(dirname "$0")" && pwd)
unset PYTHONPATH PYTHONHOME

for name in flower pfl; do
  pins="$here/requirements-$name.txt"
  if cmp -s "$pins" "$folder/$name/.installed.txt"; then
    echo "$name: installed already"
    continue
  fi
  "$python" -m venv --clear "$folder/$name"
  "$folder/$name/bin/python" -m pip install --disable-pip-version-check --no-input --quiet \
    --no-deps --require-hashes -r "$pins"
  cp "$pins" "$folder/$name/.installed.txt"
  echo "$name: installed"
done
