"""bitsandbytes' NF4 as plain fp32 weights, for scripts that need a reference.

bitsandbytes' own linear layer repacks its weights in place on some CPUs at the first evaluation,
and rounds to bfloat16 on the way; expanding first and running plain fp32 layers is the reference.
"""

LINEARS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def nf4_round(weight):
    """Quantises to NF4 with double quantisation, as loading in 4 bit does, and expands again."""
    import bitsandbytes.functional as bnb
    import torch

    codes, state = bnb.quantize_4bit(weight.float(), blocksize=64, quant_type="nf4",
                                     compress_statistics=True)
    state.dtype = torch.float32
    return bnb.dequantize_4bit(codes, state)


def round_linears(tensors):
    """nf4_round on the seven linear weights of each layer, everything else as it is."""
    return {name: nf4_round(tensor) if name.endswith(tuple(m + ".weight" for m in LINEARS)) else tensor
            for name, tensor in tensors.items()}


def expand_checkpoint(tensors):
    """A serialised checkpoint's tensors with every NF4 weight expanded to fp32."""
    import bitsandbytes.functional as bnb
    import torch

    suffix = ".weight.quant_state.bitsandbytes__nf4"
    quantised = [name.removesuffix(suffix) for name in tensors if name.endswith(suffix)]
    parts = {module + ".weight" for module in quantised}
    expanded = {name: tensor for name, tensor in tensors.items()
                if name not in parts and name.split(".weight.")[0] + ".weight" not in parts}
    for module in quantised:
        prefix = module + ".weight."
        state = bnb.QuantState.from_dict(
            {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)},
            device="cpu")
        state.dtype = torch.float32
        expanded[module + ".weight"] = bnb.dequantize_4bit(tensors[module + ".weight"], state)
    return expanded
