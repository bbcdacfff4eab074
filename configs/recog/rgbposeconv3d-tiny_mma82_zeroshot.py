_base_ = 'rgbposeconv3d-tiny_mma82_indomain.py'
protocol = dict(_delete_=True, name='zeroshot')
