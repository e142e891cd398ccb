# Called by the Dockerfile: install.sh PIP SOURCE cpu|cuda. torch and torchvision come from one index, for they must be built alike.
set -euo pipefail
pip=$1 source=$2 device=$3
case $device in
    cpu) index=https://download.pytorch.org/whl/cpu ;;
    cuda) index=https://pypi.org/simple ;;
    *) echo "DEVICE is cpu or cuda, not $device" >&2; exit 1 ;;
esac
"$pip" install --index-url "$index" --no-deps -c "$source/constraints.txt" torch torchvision
"$pip" install -c "$source/constraints.txt" "$source[s3,sim]"
