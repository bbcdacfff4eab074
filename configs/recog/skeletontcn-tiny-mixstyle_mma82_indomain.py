# The compact skeleton model with MixStyle across domains (Zhou et al., ICLR 2021)
# behind its first two layers. Of another recipe, a ResNet: --cfg-options
# +model.cls_head.domains.type=MixStyle +model.cls_head.domains.layers=[layer1,layer2].
# Reproduces nothing; p and alpha are the authors', the layers are the first, as theirs.
# Expected: – (real data not seen). Hardware: as the plain recipe.
_base_ = 'skeletontcn-tiny_mma82_indomain.py'
model = dict(cls_head=dict(domains=dict(type='MixStyle', layers=['stem', 'blocks.0'])))
