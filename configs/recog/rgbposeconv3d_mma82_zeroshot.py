_base_ = 'rgbposeconv3d_mma82_indomain.py'
protocol = dict(_delete_=True, name='zeroshot')
